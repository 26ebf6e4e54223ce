"""Keeps what a restart destroys: what was seen of the server and its processes, in a file beside the journal.

It holds no prompt, no memory and no environment, is done within seconds, and never holds up an action by more.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from vllm_healer.model import Facts, Permit, ProcessRef, Target
from vllm_healer.net.client import RequestFailed
from vllm_healer.net.server import MAX_PAGE, ask

log = logging.getLogger(__name__)

FOLDER = "evidence"
MOST_BYTES = 200 * 1024 * 1024  # of all files together; the oldest go first
PAGE_SECONDS = 2.0  # for the server's /metrics; one that hangs keeps it for so long and no longer
READ_SECONDS = 5.0  # for its processes
PROCESSES = 64
PART_BYTES = 64 * 1024  # of one file of /proc
ABOUT = ("status", "wchan", "stack", "syscall", "schedstat")  # `stack` and `syscall` are for root alone; no cmdline,
# which may hold an API key, and nothing that shows memory


class Forensics:
    """Keeps evidence in a folder. Any thread may call it."""

    def __init__(self, folder: Path, proc: Path = Path("/proc")) -> None:
        self._folder = folder
        self._proc = proc

    @classmethod
    def beside(cls, journal: str) -> Forensics:
        return cls(Path(journal).with_name(FOLDER))

    def keep(self, permit: Permit, facts: Facts) -> str:
        """The file that now holds the evidence about an action, or ''. It never raises: the action does not wait."""
        try:
            path = self._folder / f"{permit.action}.json"
            self._write(path, self._gather(permit, facts))
            prune(self._folder, MOST_BYTES)
        except Exception as error:  # noqa: BLE001 - whatever it is, the action is not held up by it
            log.warning("no evidence is kept of action %d: %s", permit.action, error)
            return ""
        return str(path)

    def _gather(self, permit: Permit, facts: Facts) -> dict[str, object]:
        seen = facts.supervisor
        every = (*seen.tree, *seen.orphans, *seen.unsupervised) if seen is not None else ()
        return {
            "action": permit.action,
            "at": permit.at.wall,
            "plan": _without_titles(asdict(permit.plan)),
            "facts": _without_titles(asdict(facts)),
            "metrics": page_of(facts.target) if facts.target is not None else "",
            "processes": {ref.pid: about for ref, about in read_about(every[:PROCESSES], self._proc)},
        }

    def _write(self, path: Path, evidence: dict[str, object]) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        text = json.dumps(evidence, default=sorted).encode()  # what is no JSON in it are sets of names
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)  # of a healer that was killed
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(text)
        new.replace(path)


def page_of(target: Target) -> str:
    """The server's /metrics, or why it cannot be had."""
    try:
        return ask(target, "GET", "/metrics", PAGE_SECONDS, limit=MAX_PAGE).text
    except RequestFailed as error:
        return f"it {error}"


def read_about(refs: Iterable[ProcessRef], proc: Path) -> Iterable[tuple[ProcessRef, dict[str, str]]]:
    """The parts of /proc about each process, as far as they may be read and the time suffices."""
    until = time.monotonic() + READ_SECONDS
    for ref in refs:
        if time.monotonic() < until:
            yield ref, {name: text for name in ABOUT if (text := _read(proc / str(ref.pid) / name))}


def prune(folder: Path, most: int) -> None:
    """Removes the oldest files until the others have at most so many bytes together."""
    found = sorted(((file.stat().st_mtime, file) for file in folder.iterdir() if file.is_file()), reverse=True)
    kept = 0
    for _, file in found:
        kept += file.stat().st_size
        if kept > most:
            file.unlink(missing_ok=True)


def _without_titles(value: object) -> object:
    """The value without the titles of processes, which are the beginnings of command lines."""
    if isinstance(value, dict):
        return {key: _without_titles(each) for key, each in value.items() if key != "title"}
    return [_without_titles(each) for each in value] if isinstance(value, list | tuple) else value


def _read(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(PART_BYTES).decode("utf-8", "replace")
    return ""

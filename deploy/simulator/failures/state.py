"""Keeps what outlives a server's process: failures of the next starts in a small file, the lost GPU in another."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.simulator.errors import NotPossible, OptionError

# Read by a stand-in for NVML, so that the GPU is gone for every reader: {"lost": true, "xid": 79, "since": unix time}.
GPU_FILE = "gpu.json"
FILE = "failures.json"
SCRIPT_FILE = "script.began"


@dataclass(frozen=True)
class Lasting:
    """One failure of the next starts."""

    how: str
    times: int | None = None  # starts it still concerns; None: all


class State(Protocol):
    """The lasting failure of one server."""

    def read(self) -> Lasting | None: ...

    def write(self, lasting: Lasting | None) -> None: ...


class MemoryState(State):
    """The state of a server that shares its process with others: the process is what lasts."""

    def __init__(self) -> None:
        self._lasting: Lasting | None = None

    def read(self) -> Lasting | None:
        return self._lasting

    def write(self, lasting: Lasting | None) -> None:
        self._lasting = lasting


class NoState(State):
    """The state without --state: nothing lasts."""

    def read(self) -> Lasting | None:
        return None

    def write(self, lasting: Lasting | None) -> None:
        if lasting:
            raise NotPossible(f"{lasting.how} must outlive the process: start the server with --state DIR")


class FileState(State):
    """A directory of one server."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE
        self._gpu = directory / GPU_FILE

    def read(self) -> Lasting | None:
        try:
            return parse_lasting(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def write(self, lasting: Lasting | None) -> None:
        if lasting is None:
            self._path.unlink(missing_ok=True)
            self._gpu.unlink(missing_ok=True)
            return
        _replace(self._path, json.dumps({"how": lasting.how, "times": lasting.times}))
        if lasting.how == "gpu_lost":
            _replace(self._gpu, json.dumps({"lost": True, "xid": 79, "since": time.time()}))


def parse_lasting(text: str) -> Lasting:
    """Raises OptionError for a file that something else has written."""
    try:
        found = json.loads(text)
        return Lasting(str(found["how"]), None if found["times"] is None else int(found["times"]))
    except (ValueError, KeyError, TypeError):
        raise OptionError(f"{FILE} of the state directory holds {text[:60]!r}: remove it") from None


def take(state: State) -> str:
    """The failure of the start that begins now, or ''; it counts as one of its times."""
    lasting = state.read()
    if lasting is None:
        return ""
    if lasting.times is not None:
        state.write(Lasting(lasting.how, lasting.times - 1) if lasting.times > 1 else None)
    return lasting.how


def open_state(directory: Path | None) -> State:
    return FileState(directory) if directory else NoState()


def script_began(directory: Path | None, now: float) -> float:
    """Returns when a server's script began, in simulated seconds. With a state directory a restart goes on with it."""
    if directory is None:
        return now
    path = directory / SCRIPT_FILE
    try:
        began = float(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        began = now + 1  # nothing that makes sense: later than now
    if began > now:  # from before a reboot
        began = now
        _replace(path, str(began))
    return began


def _replace(path: Path, text: str) -> None:
    """Replaces the file at once, for a server may be starting."""
    new = path.with_suffix(".new")
    new.write_text(text + "\n", encoding="utf-8")
    os.replace(new, path)

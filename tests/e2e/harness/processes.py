"""Processes that the harness starts: each part in a session of its own, so that nothing it leaves can escape the end.

vLLM overwrites its title and environment, but never its session: the session id finds orphans too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class Part:
    """One program of the stack with its log. `start` may be called again after `kill`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self.log = log
        self._command = [*_dies_with_us(), *command]
        self._env = dict(env)
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: list[int] = []

    @property
    def pid(self) -> int:
        """0 when it was never started."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._env, cwd=self._cwd, start_new_session=True,
            )  # fmt: skip
        self._sessions.append(self._process.pid)

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self._process and self.is_alive():
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as a crash would look, and wait for it to be gone."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait(timeout=10)

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, then SIGKILL to all that is left of its sessions."""
        if self._process and self.is_alive():
            self._process.terminate()
            try:
                self._process.wait(timeout=grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=10)
        for session in self._sessions:
            end_session(session)


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/<pid>/stat that the harness uses (proc_pid_stat(5))."""

    pid: int
    state: str
    parent: int
    session: int
    start_ticks: int


def parse_stat(pid: int, text: str) -> Stat:
    """The name between the parentheses may hold anything, so the fields are counted from the last one."""
    fields = text.rpartition(")")[2].split()
    return Stat(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def read_stats() -> Iterator[Stat]:
    """All living processes; zombies are not alive."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := read_stat(int(name))) is not None:
            yield stat


def read_stat(pid: int) -> Stat | None:
    """None when there is no such living process."""
    try:
        stat = parse_stat(pid, Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except OSError:
        return None
    return None if stat.state in "ZX" else stat


def descendants(pid: int) -> list[Stat]:
    """The living tree under `pid`, without it."""
    stats = list(read_stats())
    found, grew = {pid}, True
    while grew:
        more = {stat.pid for stat in stats if stat.parent in found} - found
        found |= more
        grew = bool(more)
    return [stat for stat in stats if stat.pid in found and stat.pid != pid]


def in_session(session: int) -> list[Stat]:
    return [stat for stat in read_stats() if stat.session == session]


def end_session(session: int) -> None:
    """SIGKILL every member until none is left; bounded, because a process in D state cannot die."""
    deadline = time.monotonic() + 10
    while (left := in_session(session)) and time.monotonic() < deadline:
        for stat in left:
            try:
                os.kill(stat.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)


def tail(path: Path, lines: int = 40) -> str:
    """The end of a log, for the report of a failure."""
    if not path.exists():
        return f"--- {path}: not there\n"
    with path.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - 64 * 1024))
        text = log.read().decode(errors="replace")
    return f"--- {path}\n" + "\n".join(text.splitlines()[-lines:]) + "\n"


def _dies_with_us() -> list[str]:
    """SIGTERM when the test run itself is killed; util-linux's setpriv is on every Debian."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []

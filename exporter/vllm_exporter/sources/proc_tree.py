"""Reads the processes of the host from /proc, cheaply enough for every other second."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.lineage import Process, Ref
from vllm_exporter.titles import UNREADABLE, Title, parse_title

PAGE = os.sysconf("SC_PAGE_SIZE")
TITLE_DEADLINE = 0.5  # seconds: reading a command line waits for locks of a process that may be stuck in the kernel
YOUNG = 10  # scans during which a new process is read every time: it may still be about to become a vLLM
RECHECK = 15  # scans between two readings of any other process: its id may have passed to another one
MAX_CMDLINE = 65536  # bytes


@dataclass(frozen=True)
class Stat:
    """/proc/<pid>/stat, see proc_pid_stat(5)."""

    ref: Ref
    comm: bytes
    state: bytes
    ppid: int
    threads: int
    cpu_ticks: int  # user and system


@dataclass(frozen=True)
class _Seen:
    ref: Ref
    comm: bytes
    title: Title
    process: Process
    since: int  # the scan that first saw it


class ProcTree:
    """All processes with what they are. A title is read once for each (pid, start time, short name): reading it takes a
    lock in the kernel that a stuck process may hold, and a process that renames itself changes its short name too."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._seen: dict[int, _Seen] = {}
        self._scan = 0
        self._stuck: set[Ref] = set()

    def scan(self, also: Iterable[int] = ()) -> dict[int, Process]:
        """The living processes by id. Up to date for vLLM's, for all that may own one, and for the ids in `also`.

        Raises SourceError when /proc cannot be listed.
        """
        try:
            pids = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        except OSError as error:
            raise SourceError(f"{self._proc} cannot be listed: {error.strerror}") from None
        stats = self._read_stats(pids, set(also))
        self._seen = {pid: seen for pid, seen in self._seen.items() if pid in pids and stats.get(pid, seen) is not None}
        self._update(stats)
        self._scan += 1
        return {pid: seen.process for pid, seen in self._seen.items()}

    def _read_stats(self, pids: set[int], also: set[int]) -> dict[int, Stat | None]:
        """Of those that are due; None: it is gone, or a zombie."""
        due = [pid for pid in pids if pid in also or self._due(self._seen.get(pid))]
        return {pid: _alive(read_stat(self._proc, pid)) for pid in due}

    def _due(self, seen: _Seen | None) -> bool:
        if seen is None or seen.title.owner or self._scan - seen.since < YOUNG:
            return True
        return (self._scan + seen.ref.pid) % RECHECK == 0  # a part of them at each scan

    def _update(self, stats: dict[int, Stat | None]) -> None:
        alive = [stat for stat in stats.values() if stat is not None]
        titles = self._read_titles([stat for stat in alive if not self._title_known(stat)])
        for stat in alive:
            old = self._seen.get(stat.ref.pid)
            same = old is not None and old.ref == stat.ref
            title = titles.get(stat.ref, old.title if old is not None and same else UNREADABLE)
            since = old.since if old is not None and same else self._scan
            self._seen[stat.ref.pid] = _Seen(stat.ref, stat.comm, title, self._process(stat, title), since)

    def _title_known(self, stat: Stat) -> bool:
        old = self._seen.get(stat.ref.pid)
        if stat.ref in self._stuck:
            return True
        return old is not None and old.ref == stat.ref and old.comm == stat.comm and old.title is not UNREADABLE

    def _process(self, stat: Stat, title: Title) -> Process:
        process = Process(stat.ref, stat.ppid, title, stat.threads, stat.cpu_ticks)
        return replace(process, resident=read_resident(self._proc, stat.ref.pid)) if title.role else process

    def _read_titles(self, stats: list[Stat]) -> dict[Ref, Title]:
        """In a thread that is left behind when it gets stuck; the process it got stuck at is not tried again."""
        if not stats:
            return {}
        reader = _TitleReader(self._proc, [stat.ref for stat in stats])
        titles, stuck = reader.wait(TITLE_DEADLINE)
        if stuck is not None:
            self._stuck.add(stuck)
        return titles


class _TitleReader:
    def __init__(self, proc: Path, refs: list[Ref]) -> None:
        self._proc = proc
        self._refs = refs
        self._titles: dict[Ref, Title] = {}
        self._at: Ref | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, name="titles", daemon=True).start()

    def wait(self, deadline: float) -> tuple[dict[Ref, Title], Ref | None]:
        """The titles read until then, and the process at which it got stuck."""
        if self._done.wait(deadline):
            return self._titles, None
        return dict(self._titles), self._at

    def _run(self) -> None:
        for ref in self._refs:
            self._at = ref
            cmdline = read_file(self._proc / str(ref.pid) / "cmdline", MAX_CMDLINE)
            self._titles[ref] = UNREADABLE if cmdline is None else parse_title(cmdline)
        self._done.set()


def parse_stat(text: bytes) -> Stat:
    """Raises ValueError when it is not the text of /proc/<pid>/stat. The name may hold blanks and parentheses."""
    pid, _, rest = text.partition(b" (")
    comm, parenthesis, rest = rest.rpartition(b") ")
    fields = rest.split()
    if not parenthesis or len(fields) < 20:
        raise ValueError(f"not a stat: {text[:60]!r}")
    return Stat(
        ref=Ref(int(pid), int(fields[19])),
        comm=comm,
        state=fields[0],
        ppid=int(fields[1]),
        threads=int(fields[17]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
    )


def read_stat(proc: Path, pid: int) -> Stat | None:
    """None when the process is gone."""
    text = read_file(proc / str(pid) / "stat", 4096)
    try:
        return parse_stat(text) if text else None
    except ValueError as error:
        raise SourceError(f"{proc}/{pid}/stat: {error}") from None


def read_resident(proc: Path, pid: int) -> int:
    """Bytes of memory that the process has in RAM, shared pages included; 0 when it is gone."""
    fields = (read_file(proc / str(pid) / "statm", 4096) or b"").split()
    return int(fields[1]) * PAGE if len(fields) > 1 else 0


def read_file(path: Path, size: int) -> bytes | None:
    """At most `size` bytes. None when the process is gone or belongs to somebody else.

    In a loop: a read of a long table in /proc returns a page or so of whole lines, however much was asked for.
    """
    data = b""
    try:
        with open(path, "rb", buffering=0) as file:
            while len(data) < size and (more := file.read(size - len(data))):
                data += more
    except OSError:
        return None
    return data


def _alive(stat: Stat | None) -> Stat | None:
    return None if stat is None or stat.state in (b"Z", b"X", b"x") else stat

"""Reads the processes of the host from /proc, cheaply enough for every other second.

vLLM's own processes, their parents and young ones are read at each scan; of all others few at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.deadline_reader import DeadlineReader
from vllm_exporter.linux.stat import GONE, ProcessStat, read_stat
from vllm_exporter.subjects.processes.lineage import Living, Process
from vllm_exporter.subjects.processes.titles import UNREADABLE, Title, parse_title

TITLE_WAIT = 0.1  # seconds that a scan waits for the command lines of new processes; the rest come at the next
TITLE_DEADLINE = 0.5  # seconds for one: reading it waits for locks of a process that may be stuck in the kernel
MAX_CMDLINE = 65536  # bytes
YOUNG = 30  # scans in which a stranger may still become a vLLM: an engine is renamed up to 20 s after its start
RECHECK = 30  # scans between two looks at an old stranger: a shell may become a vLLM at any time
SETTLED = 2  # scans after which a command line is read once more: it may have been seen between its fork and its exec


@dataclass
class SeenProcess:
    """A process as it was read last."""

    process: Process
    comm: bytes
    since: int  # the scan that first saw it


class ProcTree:
    """Reads all processes and identifies them. A title is read once for each (pid, start time, short name): reading it
    takes a lock in the kernel that a stuck process may hold, and a process that renames itself changes its short name
    too."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._titles = DeadlineReader[Ref]("titles", MAX_CMDLINE, TITLE_DEADLINE)
        self._seen: dict[int, SeenProcess] = {}
        self._scan = 0

    def scan(self, also: Iterable[int] = ()) -> Living:
        """Returns the living processes by id, up to date for vLLM's, for young ones and for the ids in `also`.

        Raises SourceError when /proc cannot be listed.
        """
        pids, wanted = self._list(), set(also)
        for pid in self._seen.keys() - pids:
            del self._seen[pid]
        for pid in pids:
            seen = self._seen.get(pid)
            if seen is None or pid in wanted or self._is_due(pid, seen):
                self._look(pid, seen)
        if self._titles.open:
            self._take_titles()
        self._scan += 1
        return {pid: seen.process for pid, seen in self._seen.items()}

    def close(self) -> None:
        self._titles.close()

    def _list(self) -> set[int]:
        try:
            return {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        except OSError as error:
            raise SourceError(f"{self._proc} cannot be listed: {error.strerror}") from None

    def _is_due(self, pid: int, seen: SeenProcess) -> bool:
        """True if it is to be read now. Old strangers are spread over the scans; threads of the kernel never change."""
        if seen.process.kernel:
            return False
        age = self._scan - seen.since
        return seen.process.title.role is not None or age < YOUNG or (self._scan + pid) % RECHECK == 0

    def _look(self, pid: int, seen: SeenProcess | None) -> None:
        stat = read_stat(self._proc, pid)
        if stat is None or stat.state in GONE:
            self._seen.pop(pid, None)
            return
        if seen is None or seen.process.ref != stat.ref:
            title = Title() if stat.kernel else UNREADABLE
            seen = self._seen[pid] = SeenProcess(make_process(stat, title), stat.comm, self._scan)
            if not stat.kernel:
                self._ask(seen)
            return
        seen.process = make_process(stat, seen.process.title)
        if seen.comm != stat.comm or (self._scan == seen.since + SETTLED and not seen.process.title.role):
            seen.comm = stat.comm
            self._ask(seen)

    def _ask(self, seen: SeenProcess) -> None:
        ref = seen.process.ref
        self._titles.ask(ref, self._proc / str(ref.pid) / "cmdline")

    def _take_titles(self) -> None:
        for ref, cmdline in self._titles.answers(TITLE_WAIT):
            seen = self._seen.get(ref.pid)
            if seen is not None and seen.process.ref == ref and cmdline is not None:
                seen.process = replace(seen.process, title=parse_title(cmdline))  # else it got stuck: no title


def make_process(stat: ProcessStat, title: Title) -> Process:
    return Process(
        stat.ref, stat.ppid, title, stat.threads, stat.cpu_ticks, stat.resident, stat.state, kernel=stat.kernel
    )

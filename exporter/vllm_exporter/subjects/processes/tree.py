"""Reads the processes of the host from /proc, cheaply enough for every other second.

A walk over all of them is rare. In between only new ids are looked at, and vLLM's own processes, by files kept open.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.deadline_reader import DeadlineReader
from vllm_exporter.linux.stat import GONE, SIZE, Stat, read_file, understand
from vllm_exporter.subjects.processes.lineage import Living, Process
from vllm_exporter.subjects.processes.pid_list import PidList, open_or_none
from vllm_exporter.subjects.processes.titles import UNREADABLE, Title, parse_title

TITLE_WAIT = 0.1  # seconds that a scan waits for the command lines of new processes; the rest come at the next
TITLE_DEADLINE = 0.5  # seconds for one: reading it waits for locks of a process that may be stuck in the kernel
MAX_CMDLINE = 65536  # bytes
# Scans between two looks at a process that is not vLLM's, by the scans since it was first seen: it may become a vLLM
# (an engine that is renamed 20 s after its start), an old one only if it is a shell or a Python program.
YOUNG, GROWN = (10, 1), (60, 5)
RECHECK, RECHECK_OTHERS = 30, 150
SETTLED = 2  # scans after which a command line is read once more
# How the short names of processes begin whose command line is read at once, and not when they have SETTLED: most others
# are gone by then. vLLM's own, its launchers', and what leads to a container's port; vLLM's titles have a `::`.
LIKELY = (b"vllm", b"python", b"pypy", b"ray", b"pt_main_thread", b"docker-proxy")


@dataclass
class _Seen:
    process: Process
    comm: bytes
    since: int  # the scan that first saw it
    file: int | None = None  # its stat, kept open for vLLM's own and for their parents


class ProcTree:
    """All processes with what they are. A title is read once for each (pid, start time, short name): reading it takes a
    lock in the kernel that a stuck process may hold, and a process that renames itself changes its short name too."""

    def __init__(self, proc: Path) -> None:
        self.generation = 0  # grows when a vLLM, or a parent of one, starts, ends, or gets another parent or title
        self._proc = proc
        self._pids = PidList(proc)
        self._titles = DeadlineReader[Ref]("titles", MAX_CMDLINE, TITLE_DEADLINE)
        self._seen: dict[int, _Seen] = {}
        self._living: dict[int, Process] = {}
        self._watched: set[int] = set()
        self._due: defaultdict[int, set[int]] = defaultdict(set)  # scan to ids to look at
        self._scan = 0
        self._young = 0  # the scan from which on no process is young

    def quiet(self) -> bool:
        """Whether the next scan will find nothing new, unless a process ended or took another program."""
        return self._scan > self._young and not self._titles.open and self._pids.unchanged()

    def scan(self, also: Iterable[int] = ()) -> Living:
        """The living processes by id, valid until the next scan. Up to date for vLLM's and for the ids in `also`.

        Others that ended may still be among them for half a minute. Raises SourceError when /proc cannot be listed.
        """
        self._look_at_watched()
        new = self._pids.new()
        if new is None:
            new = self._compare(self._pids.all())
        due = self._due.pop(self._scan, set()) | new | {pid for pid in also if pid not in self._watched}
        for pid in due:
            self._look(pid)
        for pid in also:
            self._keep_open(pid)
        if self._titles.open:
            self._take_titles()
        self._scan += 1
        return self._living

    def close(self) -> None:
        for pid in list(self._seen):
            self._drop(pid)
        self._titles.close()
        self._pids.close()

    def _compare(self, pids: set[int]) -> set[int]:
        for pid in self._seen.keys() - pids:
            self._drop(pid)
        return pids - self._seen.keys()

    def _look_at_watched(self) -> None:
        for pid in list(self._watched):
            seen = self._seen[pid]
            assert seen.file is not None  # that is what watched means
            try:
                text = os.pread(seen.file, SIZE, 0)
            except OSError:  # ESRCH: it has been reaped
                self._drop(pid)
                self._look(pid)  # its id may belong to another one already
                continue
            self._update(pid, understand(text, self._proc, pid), seen)

    def _look(self, pid: int) -> None:
        text = read_file(f"{self._proc}/{pid}/stat", SIZE)
        seen = self._seen.get(pid)
        if not text:
            self._drop(pid)
        elif seen is None or seen.file is not None or self._scan == seen.since + SETTLED or not is_same(text, seen):
            self._update(pid, understand(text, self._proc, pid), seen)
        else:
            self._due[self._next_look(pid, seen)].add(pid)

    def _update(self, pid: int, stat: Stat, seen: _Seen | None) -> None:
        if seen is not None and seen.process.ref != stat.ref:
            self._drop(pid)
            seen = None
        if stat.state in GONE:
            self._drop(pid)
            return
        if seen is None:
            self._add(pid, stat)
            return
        if seen.process.ppid != stat.ppid and seen.file is not None:
            self.generation += 1
        self._set(seen, make_process(stat, seen.process.title))
        self._ask_again(seen, stat)
        if seen.file is None and not stat.kernel:
            self._due[self._next_look(pid, seen)].add(pid)

    def _ask_again(self, seen: _Seen, stat: Stat) -> None:
        """When it was renamed, and once soon after its start: it may have been seen between its fork and its exec."""
        if seen.comm != stat.comm or (self._scan == seen.since + SETTLED and not seen.process.title.role):
            seen.comm = stat.comm
            self._ask(seen)

    def _add(self, pid: int, stat: Stat) -> None:
        seen = self._seen[pid] = _Seen(
            make_process(stat, Title() if stat.kernel else UNREADABLE), stat.comm, self._scan
        )
        self._living[pid] = seen.process
        if not stat.kernel:
            if self._scan == 0 or b"::" in stat.comm or stat.comm.startswith(LIKELY):
                self._ask(seen)
            self._due[self._next_look(pid, seen)].add(pid)
            self._young = self._scan + YOUNG[0]

    def _set(self, seen: _Seen, process: Process) -> None:
        seen.process = self._living[process.ref.pid] = process

    def _drop(self, pid: int) -> None:
        seen = self._seen.pop(pid, None)
        if seen is None:
            return
        del self._living[pid]
        if seen.file is not None:
            os.close(seen.file)
            self._watched.discard(pid)
            self.generation += 1
        elif seen.process.title.forward:
            self.generation += 1

    def _next_look(self, pid: int, seen: _Seen) -> int:
        """Old ones are spread over the scans by their ids."""
        age = self._scan - seen.since
        title = seen.process.title
        old = RECHECK if title.owner or title.shell else RECHECK_OTHERS
        step = next((step for limit, step in (YOUNG, GROWN) if age < limit), old)
        return self._scan + step - (self._scan + pid) % step

    def _ask(self, seen: _Seen) -> None:
        ref = seen.process.ref
        self._titles.ask(ref, self._proc / str(ref.pid) / "cmdline")

    def _take_titles(self) -> None:
        for ref, cmdline in self._titles.answers(TITLE_WAIT):
            seen = self._seen.get(ref.pid)
            if seen is None or seen.process.ref != ref:
                continue
            if cmdline is not None:  # one that got stuck is not tried again under the same name
                self._entitle(seen, parse_title(cmdline))

    def _entitle(self, seen: _Seen, title: Title) -> None:
        old, process = seen.process.title, seen.process
        if old == title:
            return
        self._set(seen, Process(process.ref, process.ppid, title, *costs(process)))
        if self._matters(process) or old.role or title.role or title.forward:
            self.generation += 1
        if title.role:
            self._keep_open(process.ref.pid)

    def _matters(self, process: Process) -> bool:
        """Whether it is watched, or the parent of one that is."""
        pid = process.ref.pid
        return pid in self._watched or any(self._living[one].ppid == pid for one in self._watched)

    def _keep_open(self, pid: int) -> None:
        seen = self._seen.get(pid)
        if seen is None or seen.file is not None:
            return
        seen.file = open_or_none(self._proc / str(pid) / "stat")
        if seen.file is not None:
            self._watched.add(pid)


def is_same(text: bytes, seen: _Seen) -> bool:
    """Whether it is the process that was seen, under the same name: all that matters of most of them."""
    before = b"%d (%b) " % (seen.process.ref.pid, seen.comm)
    fields = text[len(before) :].split(None, 20)
    if not text.startswith(before) or len(fields) < 20 or fields[0] in (b"Z", b"X", b"x"):
        return False
    return fields[19] == b"%d" % seen.process.ref.start


def make_process(stat: Stat, title: Title) -> Process:
    return Process(stat.ref, stat.ppid, title, stat.threads, stat.cpu_ticks, stat.resident, stat.state)


def costs(process: Process) -> tuple[int, int, int, str]:
    return process.threads, process.cpu_ticks, process.resident, process.state

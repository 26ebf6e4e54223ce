"""Reads open files of vLLM's processes every 10 s and, on request, their proportional memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.deadline_reader import DeadlineReader
from vllm_exporter.subjects.processes.lineage import Records
from vllm_exporter.subjects.processes.open_fds import OpenFds

PSS_EVERY = 60.0  # seconds: reading it walks all of a process's memory map, which holds up its own allocations
PSS_DEADLINE = 5.0  # seconds; 80 GB of small pages take 1 s


@dataclass(frozen=True)
class SlowReadings:
    """The values by pid. Processes that cannot be read are left out."""

    fds: Mapping[int, int] = field(default_factory=dict)
    proportional: Mapping[int, int] = field(default_factory=dict)  # bytes


class SlowReader:
    def __init__(self, proc: Path, pss: bool) -> None:
        self._proc = proc
        self._fds = OpenFds(proc)
        self._pss = DeadlineReader[Ref]("pss", 8192, PSS_DEADLINE) if pss else None
        self._known: dict[Ref, int] = {}
        self._due = 0.0

    def read(self, records: Records, now: float) -> SlowReadings:
        """Returns the values; `now` is in monotonic seconds."""
        pss = self._read_pss(records, now) if self._pss is not None else {}
        return SlowReadings(self._fds.count([ref.pid for ref in records]), pss)

    def close(self) -> None:
        if self._pss is not None:
            self._pss.close()

    def _read_pss(self, records: Records, now: float) -> dict[int, int]:
        """Returns the last value per process; a value requested in one run arrives in the next."""
        assert self._pss is not None  # says the caller
        for ref, text in self._pss.answers(0.0):
            size = parse_pss(text or b"")
            if size is not None:
                self._known[ref] = size
        self._known = {ref: size for ref, size in self._known.items() if ref in records}
        if now >= self._due and not self._pss.open:
            self._due = now + PSS_EVERY
            for ref in records:
                self._pss.ask(ref, self._proc / str(ref.pid) / "smaps_rollup")
        return {ref.pid: size for ref, size in self._known.items()}


def parse_pss(text: bytes) -> int | None:
    """Returns bytes from /proc/<pid>/smaps_rollup (proc_pid_smaps_rollup(5)); None when it could not be read."""
    for line in text.splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None

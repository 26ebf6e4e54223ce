"""The samples of vLLM's processes.

Several processes may share server, role and rank, such as a tree and an orphan before it: their costs are added up.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.values import CAUSES, ExitCause, Ref, Role
from vllm_exporter.metrics.family import Row
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes.lineage import Living, Record, Records
from vllm_exporter.subjects.processes.slow import SlowReadings

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of all times in /proc/<pid>/stat
STATES = {"running": "R", "sleeping": "SI", "uninterruptible": "D", "stopped": "Tt"}  # the kernel's letters for each

ExitCounts = Mapping[tuple[str, Role, ExitCause], int]
GroupKey = tuple[str, Role, str]  # server, role, rank
Groups = Mapping[GroupKey, list[Record]]


@dataclass(frozen=True)
class ProcessReading:
    """Everything that the samples show."""

    records: Records
    living: Living  # every process of the records is there
    servers: Mapping[str, tuple[Role, ...]]  # those ever seen, with the roles of their processes
    orphans: Collection[Ref]
    containers: Mapping[int, str] = field(default_factory=dict)  # pid to a container's name
    booted: float = 0.0  # Unix time
    slow: SlowReadings = field(default_factory=SlowReadings)
    exits: ExitCounts = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)


def rows(reading: ProcessReading) -> Iterator[Row]:
    groups = group(reading.records.values())
    for key, records in groups.items():
        processes = [reading.living[record.ref.pid] for record in records]
        yield (names.PROCESS_RESIDENT_MEMORY_BYTES, key), sum(one.resident for one in processes)
        yield (names.PROCESS_CPU_SECONDS_TOTAL, key), sum(one.cpu_ticks for one in processes) / TICKS
        yield (names.PROCESS_THREADS, key), sum(one.threads for one in processes)
        youngest = max(record.ref.start for record in records)
        yield (names.PROCESS_START_TIME_SECONDS, key), reading.booted + youngest / TICKS
    yield from _extra_rows(groups, reading)
    yield from _role_rows(reading)
    for server in sorted(reading.restarts.keys() | reading.servers.keys()):
        yield (names.PROCESS_RESTARTS_TOTAL, (server,)), reading.restarts.get(server, 0)
    left = Counter(reading.records[ref].server for ref in reading.orphans)
    for server in dict.fromkeys([*reading.servers, *(record.server for record in reading.records.values())]):
        yield (names.PROCESS_ORPHANS, (server,)), left[server]


def group(records: Collection[Record]) -> dict[GroupKey, list[Record]]:
    groups: defaultdict[GroupKey, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.server, record.role, record.rank].append(record)
    return dict(sorted(groups.items()))


def _extra_rows(groups: Groups, reading: ProcessReading) -> Iterator[Row]:
    """Yields a sum where every process of a group has a value: a sum of some would be a wrong number."""
    several = (
        (names.PROCESS_OPEN_FDS, reading.slow.fds),
        (names.PROCESS_PROPORTIONAL_MEMORY_BYTES, reading.slow.proportional),
    )
    for family, values in several:
        for key, records in groups.items():
            pids = [record.ref.pid for record in records]
            if all(pid in values for pid in pids):
                yield (family, key), sum(values[pid] for pid in pids)
    containers = {
        (*key, reading.containers[record.ref.pid])
        for key, records in groups.items()
        for record in records
        if record.ref.pid in reading.containers
    }
    for labels in sorted(containers):
        yield (names.PROCESS_CONTAINER_INFO, labels), 1


def _role_rows(reading: ProcessReading) -> Iterator[Row]:
    """Yields processes by (server, role), 0 for roles that have ended, and ends by cause, 0 from the start: a counter
    that appears with 1 has no increase."""
    states: dict[tuple[str, Role], list[str]] = {
        (server, role): [] for server, roles in reading.servers.items() for role in roles
    }
    for record in reading.records.values():
        states.setdefault((record.server, record.role), []).append(reading.living[record.ref.pid].state)
    for key, letters in sorted(states.items()):
        yield (names.PROCESSES, key), len(letters)
        for state, known in STATES.items():
            yield (names.PROCESS_STATES, (*key, state)), sum(letter in known for letter in letters)
    exits = {(*key, cause): 0 for key in states for cause in CAUSES} | dict(reading.exits)
    for labels, count in sorted(exits.items()):
        yield (names.PROCESS_EXITS_TOTAL, labels), count

"""The values of vLLM's processes.

Several processes may share server, role and rank, such as a tree and an orphan before it: their costs are added up.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.values import CAUSES, Cause, Ref, Role
from vllm_exporter.metrics.family import Row
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes.extras import Extras
from vllm_exporter.subjects.processes.lineage import Living, Record, Records

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of all times in /proc/<pid>/stat
STATES = {"running": "R", "sleeping": "SI", "uninterruptible": "D", "stopped": "Tt"}  # the kernel's letters for each

ExitCounts = Mapping[tuple[str, Role, Cause], int]
Key = tuple[str, Role, str]  # server, role, rank
Groups = Mapping[Key, list[Record]]


@dataclass(frozen=True)
class Scene:
    """All that is shown."""

    records: Records
    living: Living  # every process of the records is there
    servers: Mapping[str, tuple[Role, ...]]  # those ever seen, with the roles of their processes
    orphans: Collection[Ref]
    containers: Mapping[int, str] = field(default_factory=dict)  # pid to a container's name
    booted: float = 0.0  # Unix time
    extras: Extras = field(default_factory=Extras)
    exits: ExitCounts = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)


def rows(scene: Scene) -> Iterator[Row]:
    groups = group(scene.records.values())
    for key, records in groups.items():
        processes = [scene.living[record.ref.pid] for record in records]
        yield (names.PROCESS_RESIDENT_MEMORY_BYTES, key), sum(one.resident for one in processes)
        yield (names.PROCESS_CPU_SECONDS_TOTAL, key), sum(one.cpu_ticks for one in processes) / TICKS
        yield (names.PROCESS_THREADS, key), sum(one.threads for one in processes)
        youngest = max(record.ref.start for record in records)
        yield (names.PROCESS_START_TIME_SECONDS, key), scene.booted + youngest / TICKS
    yield from _extra_rows(groups, scene)
    yield from _role_rows(scene)
    for server in sorted(scene.restarts.keys() | scene.servers.keys()):
        yield (names.PROCESS_RESTARTS_TOTAL, (server,)), scene.restarts.get(server, 0)
    left = Counter(scene.records[ref].server for ref in scene.orphans)
    for server in dict.fromkeys([*scene.servers, *(record.server for record in scene.records.values())]):
        yield (names.PROCESS_ORPHANS, (server,)), left[server]


def group(records: Collection[Record]) -> dict[Key, list[Record]]:
    groups: defaultdict[Key, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.server, record.role, record.rank].append(record)
    return dict(sorted(groups.items()))


def _extra_rows(groups: Groups, scene: Scene) -> Iterator[Row]:
    """Only where every process of a group has a value: a sum of some would be a wrong number."""
    several = (
        (names.PROCESS_OPEN_FDS, scene.extras.fds),
        (names.PROCESS_PROPORTIONAL_MEMORY_BYTES, scene.extras.proportional),
    )
    for family, values in several:
        for key, records in groups.items():
            pids = [record.ref.pid for record in records]
            if all(pid in values for pid in pids):
                yield (family, key), sum(values[pid] for pid in pids)
    containers = {
        (*key, scene.containers[record.ref.pid])
        for key, records in groups.items()
        for record in records
        if record.ref.pid in scene.containers
    }
    for labels in sorted(containers):
        yield (names.PROCESS_CONTAINER_INFO, labels), 1


def _role_rows(scene: Scene) -> Iterator[Row]:
    """0 is said of what was there before, and of every cause from the start: a counter that appears with 1 has no
    increase."""
    states: dict[tuple[str, Role], list[str]] = {
        (server, role): [] for server, roles in scene.servers.items() for role in roles
    }
    for record in scene.records.values():
        states.setdefault((record.server, record.role), []).append(scene.living[record.ref.pid].state)
    for key, letters in sorted(states.items()):
        yield (names.PROCESSES, key), len(letters)
        for state, known in STATES.items():
            yield (names.PROCESS_STATES, (*key, state)), sum(letter in known for letter in letters)
    exits = {(*key, cause): 0 for key in states for cause in CAUSES} | dict(scene.exits)
    for labels, count in sorted(exits.items()):
        yield (names.PROCESS_EXITS_TOTAL, labels), count

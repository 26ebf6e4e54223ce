"""The series of vLLM's processes: worked out when a process comes or goes, filled in with numbers at each run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.values import CAUSES, Cause, Role
from vllm_exporter.metrics.family import Block, Layout, Series
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes.extras import Extras
from vllm_exporter.subjects.processes.lineage import Living, Record

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of all times in /proc/<pid>/stat
STATES = ("running", "sleeping", "uninterruptible", "stopped")
_STATE = {"R": 0, "S": 1, "I": 1, "D": 2, "T": 3, "t": 3}

ExitCounts = Mapping[tuple[str, Role, Cause], int]
Key = tuple[str, Role, str]  # server, role, rank


@dataclass(frozen=True)
class Scene:
    """Who is there."""

    records: Collection[Record]
    servers: Mapping[str, tuple[Role, ...]]  # those ever seen, with the roles of their processes
    orphans: Collection[Record]
    containers: Mapping[int, str] = field(default_factory=dict)  # pid to a container's name
    booted: float = 0.0  # Unix time


class Sheet:
    """Several processes may share server, role and rank (a tree and an orphan before it): their costs are added up."""

    def __init__(self, scene: Scene, extras: Extras, exits: ExitCounts, restarts: Mapping[str, int]) -> None:
        """The keys of `extras`, `exits` and `restarts` say which series there are."""
        self._groups = _group(scene.records)
        self._pids = [[record.ref.pid for record in group] for group in self._groups.values()]
        self._roles = _by_role(scene)
        self._fds = _known(self._groups, extras.fds)
        self._pss = _known(self._groups, extras.proportional)
        self._exits = _exit_keys(self._roles, exits)
        self._restarts = sorted(restarts.keys() | scene.servers.keys())
        fixed, self._fixed = _fixed(scene, self._groups, self._roles)
        self._layout = Layout([*self._moving(), *fixed])

    def block(self, living: Living, extras: Extras, exits: ExitCounts, restarts: Mapping[str, int]) -> Block:
        """All numbers. Every process of the scene must be living."""
        numbers: list[float] = []
        for pids in self._pids:
            processes = [living[pid] for pid in pids]
            numbers += (
                sum(one.resident for one in processes),
                sum(one.cpu_ticks for one in processes) / TICKS,
                sum(one.threads for one in processes),
            )
        for pids in self._roles.values():
            states = [0] * len(STATES)
            for pid in pids:
                states[_STATE.get(living[pid].state, 1)] += 1
            numbers += states
        numbers += [sum(extras.fds[pid] for pid in pids) for pids in self._fds.values()]
        numbers += [sum(extras.proportional[pid] for pid in pids) for pids in self._pss.values()]
        numbers += [exits.get(key, 0) for key in self._exits]
        numbers += [restarts.get(server, 0) for server in self._restarts]
        return self._layout.block(numbers + self._fixed)

    def _moving(self) -> list[Series]:
        """In the order of the numbers in `block`."""
        costs = (names.PROCESS_RESIDENT_MEMORY_BYTES, names.PROCESS_CPU_SECONDS_TOTAL, names.PROCESS_THREADS)
        series: list[Series] = [(family, key) for key in self._groups for family in costs]
        series += [(names.PROCESS_STATES, (*key, state)) for key in self._roles for state in STATES]
        series += [(names.PROCESS_OPEN_FDS, key) for key in self._fds]
        series += [(names.PROCESS_PROPORTIONAL_MEMORY_BYTES, key) for key in self._pss]
        series += [(names.PROCESS_EXITS_TOTAL, key) for key in self._exits]
        return series + [(names.PROCESS_RESTARTS_TOTAL, (server,)) for server in self._restarts]


def _group(records: Collection[Record]) -> dict[Key, list[Record]]:
    groups: defaultdict[Key, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.server, record.role, record.rank].append(record)
    return dict(sorted(groups.items()))


def _by_role(scene: Scene) -> dict[tuple[str, Role], list[int]]:
    """Pids; none for what was there before."""
    found: dict[tuple[str, Role], list[int]] = {
        (server, role): [] for server, roles in scene.servers.items() for role in roles
    }
    for record in scene.records:
        found.setdefault((record.server, record.role), []).append(record.ref.pid)
    return dict(sorted(found.items()))


def _known(groups: Mapping[Key, list[Record]], values: Mapping[int, int]) -> dict[Key, list[int]]:
    """The groups of which every process has a value: a sum of some would be a wrong number."""
    pids = {key: [record.ref.pid for record in group] for key, group in groups.items()}
    return {key: group for key, group in pids.items() if all(pid in values for pid in group)}


def _exit_keys(roles: Collection[tuple[str, Role]], exits: ExitCounts) -> list[tuple[str, Role, Cause]]:
    """0 is said of every cause from the start: a counter that appears with 1 has no increase."""
    there = {(server, role, cause) for server, role in roles for cause in CAUSES}
    return sorted(there | exits.keys())


def _fixed(
    scene: Scene, groups: Mapping[Key, list[Record]], roles: Mapping[tuple[str, Role], list[int]]
) -> tuple[list[Series], list[float]]:
    """Series whose numbers stay until a process comes or goes."""
    left = dict.fromkeys([*scene.servers, *(record.server for record in scene.records)], 0)
    for orphan in scene.orphans:
        left[orphan.server] += 1
    pairs: list[tuple[Series, float]] = [((names.PROCESSES, key), len(pids)) for key, pids in roles.items()]
    pairs += [((names.PROCESS_ORPHANS, (server,)), count) for server, count in sorted(left.items())]
    pairs += [((names.PROCESS_START_TIME_SECONDS, key), _start(group, scene)) for key, group in groups.items()]
    pairs += [((names.PROCESS_CONTAINER_INFO, values), 1) for values in _containers(groups, scene)]
    return [series for series, _ in pairs], [number for _, number in pairs]


def _start(group: list[Record], scene: Scene) -> float:
    """Of the youngest."""
    return scene.booted + max(record.ref.start for record in group) / TICKS


def _containers(groups: Mapping[Key, list[Record]], scene: Scene) -> list[tuple[str, ...]]:
    found = {
        (*key, scene.containers[record.ref.pid])
        for key, group in groups.items()
        for record in group
        if record.ref.pid in scene.containers
    }
    return sorted(found)

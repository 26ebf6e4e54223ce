"""vLLM's processes on this host: their cost, their server, how they ended, and those that were left behind."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.config.config import Config
from vllm_exporter.config.named_paths import NamedPath
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.facts.facts import Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.files import read_file
from vllm_exporter.linux.listening import read_user
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Row
from vllm_exporter.net.unix import check_place, socket_path
from vllm_exporter.run.collector import Collector, Context, read_options
from vllm_exporter.state import read_scope
from vllm_exporter.subjects.processes import families as names
from vllm_exporter.subjects.processes.ask_supervisors import SYSTEMD, SupervisorQueries, Supervisors
from vllm_exporter.subjects.processes.cgroup import SHORT, CgroupPlace, read_place
from vllm_exporter.subjects.processes.docker_engine import Container
from vllm_exporter.subjects.processes.exit_counts import ExitCounter
from vllm_exporter.subjects.processes.lineage import (
    Living,
    Record,
    choose_orphans,
    choose_shown,
    remember,
    without_strangers,
)
from vllm_exporter.subjects.processes.match_targets import TargetMatcher, choose_targets
from vllm_exporter.subjects.processes.memory import ProcessMemory
from vllm_exporter.subjects.processes.series import TICKS, ProcessReading, rows
from vllm_exporter.subjects.processes.slow import SlowReader, SlowReadings
from vllm_exporter.subjects.processes.tree import ProcTree

SLOW = 10.0  # seconds between two counts of file descriptors and of OOM kills
MAX_SHOWN = 256  # processes: 56 servers on MIG instances have 112; each is some series
RENEW = 60.0  # seconds between two requests to a container engine or supervisord, when nothing changes


@dataclass(frozen=True)
class ProcessesOptions:
    """The options: sources besides the kernel. All of them are only read."""

    docker_socket: str = ""  # of Docker, or of Podman's Docker-compatible service; '' means not used
    supervisord: str = ""  # unix:///run/supervisor.sock or http://127.0.0.1:9001; '' means not used
    systemd: bool = True  # where it runs
    pss: bool = False


class ProcessesCollector(Collector):
    """Remembers who started whom in the state directory; acts on nothing.

    A run lists all processes, and reads those of vLLM and a few others.
    """

    interval = 2.0  # an orphan holds memory for minutes; a server that restarts is away for longer than this
    options = ProcessesOptions
    metrics = (
        names.PROCESSES,
        names.PROCESS_RESIDENT_MEMORY_BYTES,
        names.PROCESS_CPU_SECONDS_TOTAL,
        names.PROCESS_THREADS,
        names.PROCESS_START_TIME_SECONDS,
        names.PROCESS_ORPHANS,
        names.PROCESS_STATES,
        names.PROCESS_OPEN_FDS,
        names.PROCESS_PROPORTIONAL_MEMORY_BYTES,
        names.PROCESS_RESTARTS_TOTAL,
        names.PROCESS_EXITS_TOTAL,
        names.PROCESS_CONTAINER_INFO,
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options("processes", ProcessesOptions)
        self._proc, self._clock = context.proc, context.clock
        self._tree = ProcTree(context.proc)
        self._booted = read_boot_time(context.proc)
        self._matcher = TargetMatcher(
            context.proc, choose_targets(context.config.targets, socket.gethostname()), context.clock
        )
        systemd = options.systemd and SYSTEMD.exists()
        self._supervisors = SupervisorQueries(Supervisors(options.docker_socket, options.supervisord, systemd), log)
        self._exits = ExitCounter(context, self._supervisors)
        scope, configured = read_scope(context.proc), self._matcher.targets.names
        self._memory = ProcessMemory(context.config.state_dir, scope, configured)
        self._matcher.users = dict(self._memory.users)
        self._hides = False  # True while processes are left out
        self._places: dict[Ref, CgroupPlace] = {}
        self._orphans: frozenset[Ref] = frozenset()
        self._containers: Mapping[str, Container] = {}  # the engine's list that the present names are from
        self._names: dict[int, str] = {}  # pid to its container's name
        self._reader = SlowReader(context.proc, options.pss)
        self._slow = SlowReadings()
        self._slow_due = self._renew_due = 0.0

    @classmethod
    def check(cls, config: Config, name: str) -> None:
        options = read_options(config, name, ProcessesOptions)
        for key, where in (("docker_socket", options.docker_socket), ("supervisord", options.supervisord)):
            if where:
                check_place(where, f"collectors.processes.{key}")

    @classmethod
    def paths(cls, config: Config, name: str) -> Iterator[NamedPath]:
        options = read_options(config, name, ProcessesOptions)
        for key, where in (("docker_socket", options.docker_socket), ("supervisord", options.supervisord)):
            path = socket_path(where)
            if path:
                fix = "it is asked once it is there; correct the path if it is elsewhere"
                yield NamedPath(f"collectors.processes.{key}", path, fix, "socket", "comes_later")

    def collect(self) -> Iterator[Row]:
        records = self._memory.records
        living = self._tree.scan([record.parent.pid for record in records.values() if record.parent])
        self._take_stock(living)
        now = self._clock.monotonic()
        if now >= self._slow_due:
            self._slow_due = now + SLOW
            self._look_slowly(now)
        self._exits.settle()
        self.context.board.post(self._make_trees(living))
        if not self._memory.records and not self._memory.servers and not self._exits.counts:
            raise NoData("no vLLM process on this host")
        yield from rows(self._reading(living))

    def close(self) -> None:
        self._exits.close()
        self._tree.close()
        self._reader.close()

    def _take_stock(self, living: Living) -> None:
        """Works out which process belongs to which server, and which are orphans."""
        if self._supervisors.containers is not self._containers:
            self._containers = self._supervisors.containers
            self._matcher.hurry()
        before, places = self._memory.records, self._places
        titled = {process.ref for process in living.values() if process.title.role}
        vllm = titled | self._matcher.candidates(living)
        self._places = {ref: places[ref] if ref in places else read_place(self._proc, ref.pid) for ref in vllm}
        if self._places.keys() - places.keys():
            self._slow_due = 0.0  # OOM kills count from now on
            self._supervisors.renew()
        containers = {ref: self._containers.get(place.container) for ref, place in self._places.items()}
        found = remember(before, living, self._matcher.join(living, containers))
        users = {ref: read_user(self._proc, ref.pid) for ref in found}
        records = choose_shown(without_strangers(found, users, self._matcher.users), MAX_SHOWN)
        self._tell_hidden(len(found) - len(records))
        self._exits.follow(records, living, before, places, self._names)
        self._names = {
            ref.pid: self._container_name(self._places[ref]) for ref in records if self._places[ref].container
        }
        self._orphans = frozenset(record.ref for record in choose_orphans(records, living))
        self._memory.renew(records, self._matcher.users)

    def _tell_hidden(self, hidden: int) -> None:
        """Logs one line when there are more processes than are shown, and when all are again."""
        if bool(hidden) == self._hides:
            return
        self._hides = bool(hidden)
        if hidden:
            log("warning", "too many processes with titles of vLLM: those of no server are left out", hidden=hidden)
        else:
            log("info", "all processes of vLLM are shown again")

    def _container_name(self, place: CgroupPlace) -> str:
        known = self._supervisors.containers.get(place.container)
        return known.name if known is not None and known.name else place.container[:SHORT]

    def _look_slowly(self, now: float) -> None:
        self._slow = self._reader.read(self._memory.records, now)
        self._exits.follow_places(self._places.values())
        if now >= self._renew_due:
            self._renew_due = now + RENEW
            self._supervisors.renew()

    def _reading(self, living: Living) -> ProcessReading:
        memory = self._memory
        return ProcessReading(
            records=memory.records,
            living=living,
            servers=memory.servers,
            orphans=self._orphans,
            containers=self._names,
            booted=self._booted,
            slow=self._slow,
            exits=self._exits.counts,
            restarts=memory.restarts,
        )

    def _make_trees(self, living: Living) -> Trees:
        mains = set(self._memory.mains.values())
        return Trees({ref.pid: self._fact(record, living, mains) for ref, record in self._memory.records.items()})

    def _fact(self, record: Record, living: Living, mains: Collection[Ref]) -> VllmProcess:
        pid = record.ref.pid
        process = living[pid]
        return VllmProcess(
            ref=record.ref,
            role=record.role,
            rank=record.rank,
            server=record.server,
            ppid=process.ppid,
            state=process.state,
            orphan=record.ref in self._orphans,
            main=record.ref in mains,
            resident=process.resident,
            cpu_seconds=process.cpu_ticks / TICKS,
            container=self._names.get(pid, ""),
        )


def read_boot_time(proc: Path) -> float:
    """Returns the Unix time of the boot, from which start times count. Raises SourceError when /proc/stat lacks it."""
    for line in (read_file(proc / "stat", 1 << 20) or b"").splitlines():
        if line.startswith(b"btime "):
            return float(line.split()[1])
    raise SourceError(f"{proc}/stat has no line 'btime'")

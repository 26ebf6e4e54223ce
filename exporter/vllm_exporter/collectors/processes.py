"""vLLM's processes on this host: their cost, their server, and those that were left behind."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.addresses import split_address
from vllm_exporter.collector import Collector, Context
from vllm_exporter.config import TargetConfig
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.family import Family, Sample
from vllm_exporter.lineage import Living, Process, Record, Ref, choose_orphans, remember
from vllm_exporter.log import log
from vllm_exporter.names import processes as names
from vllm_exporter.sources.lineage_file import Memory, read_memory, read_scope, write_memory
from vllm_exporter.sources.listening import is_this_host, read_ports, same_network
from vllm_exporter.sources.proc_tree import ProcTree, read_file
from vllm_exporter.titles import Role

TICKS = os.sysconf("SC_CLK_TCK")  # per second, of all times in /proc/<pid>/stat


class ProcessesCollector(Collector):
    """Remembers who started whom in the state directory; acts on nothing."""

    interval = 2.0  # an orphan holds memory for minutes; looking costs 1 ms with 300 processes
    metrics = (
        names.PROCESSES,
        names.PROCESS_RESIDENT_MEMORY_BYTES,
        names.PROCESS_CPU_SECONDS_TOTAL,
        names.PROCESS_THREADS,
        names.PROCESS_START_TIME_SECONDS,
        names.PROCESS_ORPHANS,
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._proc = context.proc
        self._tree = ProcTree(context.proc)
        self._scope = read_scope(context.proc)
        self._booted = read_boot_time(context.proc)
        self._targets = choose_local(context.config.targets, socket.gethostname())
        self._file = Path(context.config.state_dir) / "processes.json" if context.config.state_dir else None
        self._memory = self._read_memory()
        self._joined: dict[Ref, str] = {}
        self._write_failed = False

    def collect(self) -> Iterator[Sample]:
        living = self._tree.scan(record.parent.pid for record in self._memory.records.values() if record.parent)
        self._joined = {ref: server for ref, server in self._joined.items() if _lives(ref, living)}
        records = remember(self._memory.records, living, self._join(living))
        servers = remember_servers(self._memory.servers, records.values(), set(self._targets.values()))
        self._keep(Memory(records, servers))
        if not records and not servers:
            raise NoData("no vLLM process on this host")
        yield from render_counts(records.values(), servers, choose_orphans(records, living))
        yield from render_costs(records.values(), living, self._booted)

    def _join(self, living: Living) -> dict[Ref, str]:
        """API servers with their targets. Found by an open port, it holds; by the command line, it is asked again."""
        guessed: dict[Ref, str] = {}
        for process in living.values():
            if process.title.role != "api_server" or process.ref in self._joined:
                continue
            if not same_network(self._proc, process.ref.pid):
                continue
            ports = read_ports(self._proc, process.ref.pid) or frozenset()
            server = next((self._targets[port] for port in sorted(ports) if port in self._targets), "")
            if server:
                self._joined[process.ref] = server
            elif process.title.port in self._targets:
                guessed[process.ref] = self._targets[process.title.port]
        return {**guessed, **self._joined}

    def _read_memory(self) -> Memory:
        if self._file is None:
            return Memory()
        try:
            return read_memory(self._file, self._scope)
        except (OSError, ValueError) as error:
            log("warning", "the parentage of processes was forgotten", file=self._file, reason=error)
            return Memory()

    def _keep(self, memory: Memory) -> None:
        """A directory that cannot be written costs the memory at the next start, nothing else: said once."""
        changed, self._memory = memory != self._memory, memory
        if self._file is None or not changed:
            return
        try:
            write_memory(self._file, memory, self._scope)
            self._write_failed = False
        except OSError as error:
            if not self._write_failed:
                log("warning", "the parentage of processes cannot be kept", file=self._file, reason=error)
            self._write_failed = True


@dataclass
class Cost:
    """Of all processes that share server, role and rank."""

    resident: float = 0.0
    cpu_ticks: float = 0.0
    threads: float = 0.0
    start: int = 0  # of the youngest

    def add(self, process: Process) -> None:
        self.resident += process.resident
        self.cpu_ticks += process.cpu_ticks
        self.threads += process.threads
        self.start = max(self.start, process.ref.start)


def choose_local(targets: Iterable[TargetConfig], hostname: str) -> dict[int, str]:
    """Port to server of the targets on this host; the first of those that share a port."""
    local: dict[int, str] = {}
    for target in targets:
        host, port = split_address(target.address, f"target {target.address!r}")
        if target.server != target.address or is_this_host(host, hostname):
            local.setdefault(port, target.server)
    return local


def remember_servers(
    servers: Mapping[str, tuple[Role, ...]], records: Iterable[Record], configured: set[str]
) -> dict[str, tuple[Role, ...]]:
    """Every local server ever seen that is still configured, with the roles its processes ever had."""
    roles: dict[str, set[Role]] = {name: set(known) for name, known in servers.items() if name in configured}
    for record in records:
        if record.server in configured:
            roles.setdefault(record.server, set()).add(record.role)
    return {name: tuple(sorted(found)) for name, found in sorted(roles.items())}


def render_counts(
    records: Iterable[Record], servers: Mapping[str, tuple[Role, ...]], orphans: Iterable[Record]
) -> Iterator[Sample]:
    """Numbers of processes and of orphans; 0 for what was there before."""
    live: dict[tuple[str, Role], int] = {(server, role): 0 for server, roles in servers.items() for role in roles}
    left: dict[str, int] = dict.fromkeys(servers, 0)
    for record in records:
        live[record.server, record.role] = live.get((record.server, record.role), 0) + 1
        left.setdefault(record.server, 0)
    for orphan in orphans:
        left[orphan.server] += 1
    for (server, role), count in sorted(live.items()):
        yield names.PROCESSES.sample(count, server=server, role=role)
    for server, count in sorted(left.items()):
        yield names.PROCESS_ORPHANS.sample(count, server=server)


def render_costs(records: Iterable[Record], living: Living, booted: float) -> Iterator[Sample]:
    """Two processes may share server, role and rank (a tree and an orphan before it): their costs are added up."""
    costs: dict[tuple[str, Role, str], Cost] = defaultdict(Cost)
    for record in records:
        costs[record.server, record.role, record.rank].add(living[record.ref.pid])
    for (server, role, rank), cost in sorted(costs.items()):
        for family, value in _values(cost, booted):
            yield family.sample(value, server=server, role=role, rank=rank)


def read_boot_time(proc: Path) -> float:
    """Unix time of the boot, that start times count from. Raises SourceError when /proc/stat does not have it."""
    for line in (read_file(proc / "stat", 1 << 20) or b"").splitlines():
        if line.startswith(b"btime "):
            return float(line.split()[1])
    raise SourceError(f"{proc}/stat has no line 'btime'")


def _values(cost: Cost, booted: float) -> tuple[tuple[Family, float], ...]:
    return (
        (names.PROCESS_RESIDENT_MEMORY_BYTES, cost.resident),
        (names.PROCESS_CPU_SECONDS_TOTAL, cost.cpu_ticks / TICKS),
        (names.PROCESS_THREADS, cost.threads),
        (names.PROCESS_START_TIME_SECONDS, booted + cost.start / TICKS),
    )


def _lives(ref: Ref, living: Living) -> bool:
    found = living.get(ref.pid)
    return found is not None and found.ref == ref

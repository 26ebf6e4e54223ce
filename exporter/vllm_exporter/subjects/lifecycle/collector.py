"""The lifecycle state of every server, one of 42: from its log, its processes, probes and GPUs."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from vllm_exporter.config.local_servers import local_ports
from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import Severity, StateChanged
from vllm_exporter.facts.facts import Gpus, Lifecycles, ServerSight, Sights, Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.bound_ports import is_bound
from vllm_exporter.linux.uptime import read_age
from vllm_exporter.metrics.family import Row
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.state import Content, StateFile
from vllm_exporter.subjects.lifecycle import families as names
from vllm_exporter.subjects.lifecycle.evidence import Evidence, LifecycleLimits, Processes
from vllm_exporter.subjects.lifecycle.history import Transition
from vllm_exporter.subjects.lifecycle.inbox import FAULT_SECONDS, Owner, Owners, ServerNews, sort
from vllm_exporter.subjects.lifecycle.machine import Machine
from vllm_exporter.subjects.lifecycle.series import rows
from vllm_exporter.subjects.lifecycle.state_json import from_plain, to_plain
from vllm_exporter.subjects.lifecycle.states import ORDER, STATES

FIRST_LOOK = 10.0  # seconds to wait for the first probe: without it a running server looks absent
FORGET = 60.0  # seconds without any evidence after which a server's state is not shown any more


@dataclass(frozen=True)
class LifecycleOptions:
    """The options in exporter.yml; seconds unless noted."""

    quiet_seconds: float = LifecycleLimits.quiet
    saturated_seconds: float = LifecycleLimits.saturated
    suspect_seconds: float = LifecycleLimits.suspect
    thrash_share: float = LifecycleLimits.thrash_share
    loop_starts: int = LifecycleLimits.loop_starts
    loop_gap_seconds: float = LifecycleLimits.loop_gap

    def limits(self) -> LifecycleLimits:
        return LifecycleLimits(
            quiet=self.quiet_seconds,
            saturated=self.saturated_seconds,
            suspect=self.suspect_seconds,
            thrash_share=self.thrash_share,
            loop_starts=self.loop_starts,
            loop_gap=self.loop_gap_seconds,
        )


class LifecycleCollector(Collector):
    """Reads facts and events of other collectors and the state directory; asks the kernel for the port in a start."""

    metrics = (
        names.LIFECYCLE_STATE,
        names.LIFECYCLE_STATE_SECONDS,
        names.LIFECYCLE_TRANSITIONS_TOTAL,
        names.LIFECYCLE_ILLEGAL_TRANSITIONS_TOTAL,
        names.LIFECYCLE_PHASE_SECONDS,
        names.LIFECYCLE_FAILED_STARTS,
        names.LIFECYCLE_LAST_EXIT_TIMESTAMP_SECONDS,
    )
    interval = 2.0  # as often as processes are read; log lines have their own time
    turn = 3  # processes, probes and GPUs come first
    options = LifecycleOptions

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._limits = context.options("lifecycle", LifecycleOptions).limits()
        self._subscription = context.bus.subscribe(10_000)
        self._ports = local_ports(context.config.targets, socket.gethostname())
        self._servers = tuple(target.server for target in context.config.targets)
        self._file = StateFile(context.config.state_dir, "lifecycle", "the lifecycle of servers")
        self._began = context.clock.monotonic()
        self._machines = {server: Machine(self._limits) for server in self._servers}
        self._faults: dict[str, dict[str, float]] = {server: {} for server in self._servers}
        self._used: dict[str, frozenset[str]] = {}
        self._trees: Trees | None = None
        self._processes: dict[str, Processes] = {}
        self._owners = Owners(self._servers, {}, self._used)
        self._starts: dict[Ref, float] = {}
        self._saved = 0  # the version that was written last
        self._restore()

    def collect(self) -> Iterator[Row]:
        if not self._servers:
            raise NoData("no server is configured; set VLLM_TARGETS, such as localhost:8000")
        now = self.context.clock.monotonic()
        offset = self.context.clock.wall() - now
        sights, trees = self.context.board.latest(Sights), self.context.board.latest(Trees)
        if sights is None and now - self._began < FIRST_LOOK:
            raise NoData("no server was probed yet")
        self._look_at(trees, now)
        news = sort(self._subscription.drain(), self._owners, offset)
        for server in self._servers:
            sight = sights.servers.get(server) if sights else None
            evidence = self._evidence(server, now, news[server], sight)
            for transition in self._machines[server].fold(evidence):
                self._tell(server, transition, offset, sight.model_name if sight else "")
        if self._file.due(now):
            self._save(offset)
        shown = {server: one for server, one in self._machines.items() if one.state and now - one.known_at <= FORGET}
        states = {server: (one.state, now - one.history.since) for server, one in shown.items()}
        self.context.board.post(Lifecycles(states))
        if not shown:
            raise NoData("neither probe nor processes report a server; check that these collectors are enabled")
        for server, machine in shown.items():
            yield from rows(server, machine, now, offset)

    def close(self) -> None:
        """Saves what changed in the last seconds too."""
        self._save(self.context.clock.wall() - self.context.clock.monotonic())

    def _tell(self, server: str, change: Transition, offset: float, model_name: str) -> None:
        entered = STATES[ORDER[change.new]]
        severity: Severity = "warning" if not change.legal and entered.severity == "info" else entered.severity
        self.context.bus.emit(
            StateChanged(
                severity=severity,
                summary=f"{server} is {change.new}, was {change.old} for {change.seconds:.0f} s: {entered.meaning}",
                server=server,
                model_name=model_name,
                time=change.at + offset,
                from_=change.old,
                to=change.new,
                legal=change.legal,
                seconds=round(change.seconds, 3),
            )
        )

    def _evidence(self, server: str, now: float, news: ServerNews, sight: ServerSight | None) -> Evidence:
        return Evidence(
            now=now,
            marks=tuple(news.marks),
            exits=tuple(news.exits),
            errors=tuple(news.errors),
            processes=self._processes.get(server),
            sight=sight,
            bound=self._bound(server),
            faults=self._known_faults(server, now, news),
        )

    def _look_at(self, trees: Trees | None, now: float) -> None:
        """Updates everything that follows from the processes; they change seldom, and are posted every 2 s."""
        if trees is self._trees:
            return
        processes = trees.processes if trees is not None else {}
        owners = {pid: Owner(one.server, one.role, one.rank) for pid, one in processes.items() if one.server}
        self._note_gpus(owners)
        self._owners = Owners(self._servers, owners, self._used)
        self._starts = {one.ref: self._starts[one.ref] for one in processes.values() if one.ref in self._starts}
        known = () if trees is None else self._ports
        self._processes = {server: self._choose(server, now, processes.values()) for server in known}
        self._trees = trees

    def _choose(self, server: str, now: float, processes: Iterable[VllmProcess]) -> Processes:
        found = choose_processes(processes, server)
        if not found.api:
            return found
        ref = found.api[0]
        if ref not in self._starts:
            age = read_age(self.context.proc, ref.start)
            self._starts[ref] = now if age is None else now - age
        return replace(found, started=self._starts[ref])

    def _bound(self, server: str) -> bool | None:
        """Asks the kernel only while the answer matters: two messages, 30 µs."""
        waits = self._machines[server].state in ("spawned", "args_parsed")
        return is_bound(self._ports[server]) if waits and server in self._ports else None

    def _known_faults(self, server: str, now: float, news: ServerNews) -> frozenset[str]:
        """Returns the faults that were reported in the last hour, or are seen now."""
        if not (news.faults or self._faults[server] or server in self._used):
            return frozenset()
        told = {**self._faults[server], **news.faults}
        self._faults[server] = {what: at for what, at in told.items() if now - at < FAULT_SECONDS}
        gpus = self.context.board.latest(Gpus)
        used = self._used.get(server, frozenset())
        lost = {f"GPU {gpu.gpu_id} lost" for gpu in gpus.gpus if gpu.lost and gpu.gpu_id in used} if gpus else set()
        return frozenset(self._faults[server]) | lost

    def _note_gpus(self, owners: Mapping[int, Owner]) -> None:
        """Remembers the GPUs of each server, also after its processes are gone: a lost GPU has none."""
        gpus = self.context.board.latest(Gpus)
        for gpu in gpus.gpus if gpus is not None else ():
            for pid in gpu.pids or ():
                if pid in owners:
                    server = owners[pid].server
                    self._used[server] = self._used.get(server, frozenset()) | {gpu.gpu_id}

    def _restore(self) -> None:
        kept = self._file.load(self._parse)
        if kept is not None:
            self._machines.update(kept)

    def _parse(self, content: Content) -> dict[str, Machine]:
        """Returns the machines that the file of an earlier exporter describes. Raises ValueError and LookupError."""
        now = self.context.clock.monotonic()
        offset = self.context.clock.wall() - now
        found: dict[str, Machine] = {}
        for server in content["servers"].keys() & set(self._servers):
            found[server] = Machine(self._limits)
            from_plain(found[server], content["servers"][server], now, offset)
        return found

    def _save(self, offset: float) -> None:
        """Saves only after a change: the offset alone moves a little all the time."""
        version = sum(machine.history.version for machine in self._machines.values())
        if version != self._saved:
            self._saved = version
            self._file.save({"servers": {server: to_plain(one, offset) for server, one in self._machines.items()}})


def choose_processes(processes: Iterable[VllmProcess], server: str) -> Processes:
    """Returns the processes of one server, without `started`."""
    own = [one for one in processes if one.server == server]
    alive = [one for one in own if not one.orphan]
    servers = sorted(
        (one for one in alive if one.role == "api_server"), key=lambda one: (not one.main, one.ref.start, one.ref.pid)
    )
    return Processes(
        api=tuple(one.ref for one in servers),
        engines=frozenset(one.rank for one in alive if one.role == "engine_core"),
        workers=frozenset(one.rank for one in alive if one.role == "worker"),
        orphans=len(own) - len(alive),
    )

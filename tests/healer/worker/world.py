"""A small world for the worker: a server under a supervisor, a Prometheus and an Alertmanager, all in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vllm_healer.config import Config, Limits, Mode
from vllm_healer.errors import Blind, HealerError
from vllm_healer.journal import Journal
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import (
    Alert,
    Canary,
    Facts,
    Health,
    Incarnation,
    IncidentState,
    Instant,
    Look,
    Permit,
    ProcessRef,
    RunState,
    Signal,
    Signals,
    Standing,
    SupervisorView,
    Target,
)
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.loop import Worker

SERVER = "gpu1:8000"


class FakeClock:
    def __init__(self) -> None:
        self.wall, self.boot, self.boot_id = 1_800_000_000.0, 5_000.0, "boot-1"

    def now(self) -> Instant:
        return Instant(self.wall, self.boot, self.boot_id)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


class Inline(Executor):
    """Runs each job at once, so that a test reads from top to bottom."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass
class FakeServer:
    """One vLLM server and its supervisor."""

    life: int = 1
    state: RunState = RunState.RUNNING
    health: Health = Health.OK
    answers: bool = True
    answer_seconds: float = 0.1  # how long one token takes
    orphans: tuple[ProcessRef, ...] = ()
    work: float = 0.0
    restarts: int = 0
    reaped: int = 0
    heals: bool = True  # whether a restart helps
    blind: bool = False
    interrupt: Callable[[], None] | None = None  # called in the middle of a restart
    start_fails: HealerError | None = None  # raised after the server was stopped
    started: float = 1_799_999_000.0
    last_start: float = 0.0
    restarts_itself: bool | None = False
    tree: tuple[ProcessRef, ...] = ()
    unsupervised: tuple[ProcessRef, ...] = ()
    looked: Callable[[], None] | None = None  # called while it is looked at
    requests: tuple[float, float] | None = None  # how many run and wait; None: it does not say
    throttled: int = 0  # how often it was told to
    limits: list[dict[str, object]] = field(default_factory=list)
    completes: bool = True  # False: a pooling model, to which no canary applies

    def observe(self, target: Target) -> SupervisorView:
        if self.blind:
            raise Blind("supervisord does not answer")
        return SupervisorView(
            self.state,
            self._incarnation(),
            self.tree,
            self.orphans,
            unsupervised=self.unsupervised,
            last_start=self.last_start,
            restarts_itself=self.restarts_itself,
        )

    def stop(self, target: Target, grace: float) -> None:
        if self.interrupt is not None:
            self.interrupt()
        self.state, self.health = RunState.STOPPED, Health.REFUSED

    def start(self, target: Target) -> None:
        if self.start_fails is not None:
            raise self.start_fails
        self.restarts += 1
        self.life += 1
        self.state = RunState.RUNNING
        if self.heals:
            self.health, self.answers = Health.OK, True

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        self.reaped += 1
        self.orphans = self.unsupervised = ()
        return ()

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        """The throttle of the part inside vLLM."""
        if method == "PUT":
            self.throttled += 1
            self.limits = list(body["limits"])  # type: ignore[index]
        elif method == "DELETE":
            self.limits = []
        return json.dumps({"limits": self.limits, "seconds": 600 if self.limits else 0, "status": 429})

    def look(self, target: Target, canary: float) -> Look:
        if self.looked is not None:
            self.looked()
        if self.health is not Health.OK:
            return Look(self.health, None, None, None)
        if not self.completes:
            return Look(Health.OK, Canary(False, False, 0.1) if canary else None, None, None)
        answers = self.answers and self.answer_seconds <= canary
        if answers:
            self.work += 1
        work = (self.work,) if self.requests is None else (*self.requests, self.work)
        return Look(Health.OK, Canary(answers, True, self.answer_seconds if answers else canary), None, work)

    def _incarnation(self) -> Incarnation:
        if self.state is not RunState.RUNNING:
            return Incarnation("none")
        return Incarnation(f"boot-1/{100 + self.life}/1", 100 + self.life, self.started)


@dataclass
class World:
    """Everything around the worker; `alerts` is what Alertmanager has active."""

    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    server: FakeServer = field(default_factory=FakeServer)
    alerts: list[Alert] = field(default_factory=list)
    stalled: float = 0.0
    prometheus_down: bool = False
    watchdog: bool = True
    told: list[str] = field(default_factory=list)
    channel_up: bool = True
    evidence: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alerts = [alert("Watchdog", server="")]
        self.journal = Journal.open(self.directory / "journal.sqlite", self.clock)
        self.config = Config(
            mode=Mode.ACT,
            limits=Limits(),
            remediations=dict.fromkeys(("restart_engine", "reap_orphans", "notify_only"), Mode.ACT),
            targets=(Target(SERVER, "http://127.0.0.1:8000", "pool", "fake", start_timeout=600.0),),
        )
        self.worker = self.new_worker()

    def new_worker(self, executor: Executor | None = None) -> Worker:
        """Also: what a restarted healer is."""
        self.own = own = HealerMetrics()
        deps = Deps(
            self.config,
            self.clock,
            self.journal,
            self,
            self,
            self.server,
            {"fake": self.server},
            own,
            self.tell,
            self.keep,
        )
        return Worker(deps, executor or Inline())

    def set_config(self, **changes: Any) -> None:
        self.config = replace(self.config, **changes)
        self.worker = self.new_worker()

    def keep(self, permit: Permit, facts: Facts) -> str:
        """Where evidence is kept; `evidence` has the restarts that there had been by then."""
        self.evidence.append(self.server.restarts)
        return ""

    def tell(self, words: str) -> bool:
        """The fallback channel; `told` has what was delivered."""
        if self.channel_up:
            self.told.append(words)
        return self.channel_up

    def active(self, servers: frozenset[str] | None = None) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.alerts if servers is None or alert.server in {*servers, ""})

    def signals(self, server: str, more: frozenset[str]) -> Signals:
        if self.prometheus_down:
            raise Blind("http://127.0.0.1:9090 refused the connection")
        limit = Signal(30, 1)
        return Signals(stalled=Signal(self.stalled, 1), progress_age=Signal(45 * self.stalled, 1), stall_limit=limit)

    def healthy(self, servers: frozenset[str], max_age: float) -> frozenset[str]:
        return frozenset()

    def alert(self, name: str, server: str = SERVER) -> Alert:
        return alert(name, server)

    def fire(self, name: str, server: str = SERVER, **labels: str) -> None:
        """The alert is active in Alertmanager, and its webhook has arrived."""
        self.fire_unheard(name, server, **labels)
        self.journal.record_alerts((alert(name, server, **labels),), self.clock.now())

    def fire_unheard(self, name: str, server: str = SERVER, **labels: str) -> None:
        """The alert is active in Alertmanager, and its webhook was lost."""
        if (name, server) not in {(known.name, known.server) for known in self.alerts}:
            self.alerts.append(alert(name, server, **labels))

    def forget(self) -> None:
        """Alertmanager has no alert any more, and no webhook says that one is resolved."""
        self.alerts = [kept for kept in self.alerts if kept.name == "Watchdog"]

    def resolve(self) -> None:
        """Every alert has ended, and its webhook has arrived."""
        ended = tuple(replace(alert, firing=False) for alert in self.alerts if alert.name != "Watchdog")
        self.forget()
        self.journal.record_alerts(ended, self.clock.now())

    def stand(self, standing: Standing) -> None:
        """What Alertmanager does with all alerts but the Watchdog."""
        self.alerts = [kept if kept.name == "Watchdog" else replace(kept, standing=standing) for kept in self.alerts]

    def hang(self) -> None:
        self.stalled, self.server.answers = 1.0, False

    def run(self, seconds: float) -> None:
        """The worker's thread for so long: a tick a second for the first minute, then one in five."""
        end = self.clock.boot + seconds
        closely = self.clock.boot + 60.0
        while self.clock.boot < end:
            self.worker.tick()
            self.clock.advance(1.0 if self.clock.boot < closely else 5.0)

    def history(self) -> list[str]:
        return [f"{entry.kind}: {entry.words}" for entry in self.journal.history(1000)]

    def states(self) -> dict[IncidentState, int]:
        return {state: count for state, count in self.journal.incident_counts().items() if count}


def alert(name: str, server: str = SERVER, **more: str) -> Alert:
    labels = {"alertname": name, **({"server": server} if server else {}), **more}
    if name == "Watchdog":
        labels["part_of"] = "vllm-monitor"
    if name == "VllmDown":
        labels["healable"] = "true"
    return Alert(f"{name}-{server}", name, True, "2026-11-21T10:00:00Z", labels, {}, standing=Standing.SENT)

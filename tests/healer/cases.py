"""Values that the pure tests start from: one server that hangs, seen by everybody, and nothing against acting."""

from __future__ import annotations

import signal
from dataclasses import replace

from vllm_healer.config import Limits, Mode
from vllm_healer.handle import Handle
from vllm_healer.ledger import Ledger, LedgerEntry
from vllm_healer.model import (
    NO_INCARNATION,
    Alert,
    Canary,
    Diagnosis,
    Facts,
    Health,
    Incarnation,
    Incident,
    IncidentState,
    Instant,
    Look,
    Plan,
    ProcessRef,
    Refusal,
    RunState,
    Signal,
    Signals,
    SupervisorView,
    Target,
)
from vllm_healer.pipeline.guard import guard

SERVER = "gpu1:8000"
KEY = "boot-a/4711/99000"  # of the API server that hangs
NEW_KEY = "boot-a/5000/120000"  # of the one that is started in its place
NOW = Instant(wall=1_700_000_000.0, boot=50_000.0, boot_id="boot-a")
TARGET = Target(server=SERVER, url="http://127.0.0.1:8000", pool="chat", actuator="supervisord", start_timeout=600.0)

ANSWERED = Canary(ok=True, applicable=True, seconds=0.2)
UNANSWERED = Canary(ok=False, applicable=True, seconds=8.0, detail="no answer in 8 s")
NOT_APPLICABLE = Canary(ok=False, applicable=False, seconds=0.0, detail="a pooling model")

HUNG = Look(Health.OK, UNANSWERED, paused=False, work=(120.0, 0.4, 3.0, 0.0))
WELL = Look(Health.OK, ANSWERED, paused=False, work=(7.0, 0.1, 1.0, 0.0))
REFUSED = Look(Health.REFUSED, None, paused=None, work=None)
UNAVAILABLE = Look(Health.UNAVAILABLE, None, paused=None, work=None)
SATURATED = Look(Health.TIMEOUT, UNANSWERED, paused=None, work=None)

ENGINE = ProcessRef(4712, 99_100, "engine_core", "VLLM::EngineCore")
WORKER = ProcessRef(4713, 99_200, "worker", "VLLM::Worker_TP0")


def at(seconds: float) -> Instant:
    """`seconds` after NOW, in the same boot."""
    return Instant(NOW.wall + seconds, NOW.boot + seconds, NOW.boot_id)


def alert(name: str = "VllmEngineStalled", server: str = SERVER, firing: bool = True, **labels: str) -> Alert:
    every = {"alertname": name, **({"server": server} if server else {}), **labels}
    return Alert(f"{name}/{server}", name, firing, "2023-11-14T22:13:20Z", every, {})


def incident(*names: str, age: float = 60.0) -> Incident:
    alerts = tuple(alert(name) for name in names or ("VllmEngineStalled",))
    return Incident(7, SERVER, IncidentState.OPEN, at(-age), alerts)


def process(age: float, key: str = KEY) -> Incarnation:
    return Incarnation(key, pid=4711, started=NOW.wall - age)


def supervisor(state: RunState = RunState.RUNNING, age: float = 7200.0, **more: object) -> SupervisorView:
    return SupervisorView(**{"state": state, "incarnation": process(age), **more})  # type: ignore[arg-type]


def signals(age: float = 4.0, **values: float) -> Signals:
    """A stall of 45 s with a limit of 30 s, unless told otherwise; every sample `age` seconds old."""
    stall = {"stalled": 1.0, "progress_age": 45.0, "stall_limit": 30.0, "running": 3.0, "waiting": 2.0}
    return Signals(**{name: Signal(value, age) for name, value in {**stall, **values}.items()})  # type: ignore[arg-type]


def facts(**changes: object) -> Facts:
    """A hung server and every reason to act on it."""
    base: dict[str, object] = {
        "now": NOW,
        "target": TARGET,
        "signals": signals(),
        "supervisor": supervisor(),
        "look": HUNG,
        "seen_ready": True,
        "first_seen": at(-7200.0),
        "still_firing": frozenset({"VllmEngineStalled"}),
        "watchdog": True,
        "healthy_others": 1,
    }
    return Facts(**{**base, **changes})  # type: ignore[arg-type]


def told(mode: str, age: float = 4.0, **values: float) -> Signals:
    """The samples of a server of which an alert tells this failure mode."""
    return replace(signals(**values), faults={mode: Signal(1.0, age)})


def died_of(mode: str, age: float = 4.0) -> Facts:
    """It is down, its supervisor has given up, and an alert says why."""
    return facts(look=REFUSED, supervisor=supervisor(RunState.FATAL), signals=told(mode, age))


def hangs_by(mode: str) -> Facts:
    """It hangs, and an alert says why."""
    return facts(signals=told(mode))


def lives_with(mode: str, age: float = 4.0) -> Facts:
    """It answers, works, and an alert tells of something."""
    return facts(look=WELL, signals=told(mode, age, stalled=0.0, progress_age=1.0))


def plan(**changes: object) -> Plan:
    """A restart of the hung server, allowed by healer.yml."""
    base: dict[str, object] = {
        "incident": 7,
        "server": SERVER,
        "pool": "chat",
        "remediation": "restart_engine",
        "destructive": True,
        "incarnation": KEY,
        "reason": "restart the engine",
        "diagnosis": Diagnosis("engine_stalled", "no progress", frozenset({"VllmEngineStalled"})),
        "allowed": True,
    }
    return Plan(**{**base, **changes})  # type: ignore[arg-type]


def earlier(ago: float = 3000.0, **changes: object) -> LedgerEntry:
    """A restart of the same server, verified, `ago` seconds before NOW."""
    base: dict[str, object] = {
        "action": 1,
        "server": SERVER,
        "pool": "chat",
        "remediation": "restart_engine",
        "at": at(-ago),
        "finished": True,
        "recovered": True,
    }
    return LedgerEntry(**{**base, **changes})  # type: ignore[arg-type]


class Server:
    """Actuator and clock of a server that obeys; `story` is what was done to it, steps included."""

    def __init__(self, view: SupervisorView | None = None) -> None:
        self.view = view or supervisor()
        self.stubborn: tuple[ProcessRef, ...] = ()
        self.story: list[str] = []

    def now(self) -> Instant:
        return NOW

    def sleep(self, seconds: float) -> None:
        raise AssertionError("there is nothing to wait for")

    def observe(self, target: Target) -> SupervisorView:
        return self.view

    def stop(self, target: Target, grace: float) -> None:
        self.story.append("told to stop")
        self.view = supervisor(RunState.STOPPED, incarnation=NO_INCARNATION)

    def start(self, target: Target) -> None:
        self.story.append("told to start")
        self.view = supervisor(incarnation=process(0.0, NEW_KEY), detail="it runs")

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        self.story.append(f"{signal.Signals(number).name} to {', '.join(str(process.pid) for process in processes)}")
        return tuple(process for process in processes if process in self.stubborn and number != signal.SIGKILL)

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        self.story.append(f"{method} {path}")
        return ""


def handle(server: Server | None = None, incarnation: str = KEY) -> Handle:
    """A remediation's handle on the server; its steps are in the server's story."""
    on = server or Server()
    return Handle(on, TARGET, incarnation, on.story.append, on, NOW.boot + 60.0)


_plan = plan  # `judge` has an argument of that name


def judge(
    given: Facts | None = None,
    ledger: Ledger | None = None,
    plan: Plan | None = None,
    limits: Limits | None = None,
    mode: Mode = Mode.ACT,
) -> Refusal | None:
    """What the guards say of this case; what is not given speaks for acting."""
    judged = plan if plan is not None else _plan()
    return guard(judged, given or facts(), ledger or Ledger(), limits or Limits(), mode)


def reason(refusal: Refusal | None) -> str:
    return refusal.reason if refusal is not None else ""

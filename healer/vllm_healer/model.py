"""The values that travel through the healer; all frozen, all JSON-serialisable by `dataclasses.asdict`.

bytes -> Alert -> Incident -> Diagnosis -> Plan -> Refusal | Permit -> Result -> Verdict -> Lesson
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum


@dataclass(frozen=True)
class Instant:
    """A moment on two clocks: wall (seconds since the epoch, may jump) and CLOCK_BOOTTIME of one boot (never does)."""

    wall: float
    boot: float
    boot_id: str


class Standing(StrEnum):
    """Says what an Alertmanager does with an alert that has not ended, as far as the healer is concerned."""

    SENT = "sent"  # a webhook brought it, or its routes send it to the healer now
    UNKNOWN = "unknown"  # no webhook brought it, and it does not say whether it would
    MUTED = "muted"  # a mute time holds on its way to the healer
    SUPPRESSED = "suppressed"  # silenced, so a person knows, or inhibited, so another alert says it better


@dataclass(frozen=True)
class Alert:
    """One alert of an Alertmanager: of a webhook notification (version 4), or of its API."""

    fingerprint: str
    name: str
    firing: bool
    starts_at: str  # RFC 3339, as Alertmanager sent it: with the fingerprint it identifies one firing period
    labels: dict[str, str]
    annotations: dict[str, str]
    standing: Standing = field(default=Standing.UNKNOWN, kw_only=True)

    @property
    def server(self) -> str:
        """The server that the alert names, or ''."""
        return self.labels.get("server", "")

    @property
    def healable(self) -> bool:
        """False if its rule says that only a person can do something about it."""
        return self.labels.get("healable") != "false"


class IncidentState(StrEnum):
    OPEN = "open"  # being looked at; no action in flight
    ACTING = "acting"  # an intent is journalled, its result is not
    VERIFYING = "verifying"  # acted (or the supervisor did); waiting to see it work
    HEALED = "healed"  # verified as recovered
    FAILED = "failed"  # acted, not recovered; a person is needed
    RESOLVED = "resolved"  # the alerts went away, or nothing was wrong, without an action of ours


@dataclass(frozen=True)
class Incident:
    """All open alerts of one server together, so that two alerts of one cause get one action."""

    id: int
    server: str
    state: IncidentState
    opened: Instant
    alerts: tuple[Alert, ...]


class RunState(StrEnum):
    """The state of a program as its supervisor tells it, in supervisord's words where it has them."""

    RUNNING = "running"
    STARTING = "starting"  # also BACKOFF: the supervisor itself is starting it again
    STOPPING = "stopping"
    STOPPED = "stopped"  # by a person (or by our own action while that is in flight)
    EXITED = "exited"  # ended by itself and nobody restarts it
    FATAL = "fatal"  # the supervisor gave up
    UNKNOWN = "unknown"


ENDED = frozenset({RunState.STOPPED, RunState.EXITED, RunState.FATAL})  # nothing runs until somebody starts it
ALIVE = frozenset({RunState.STARTING, RunState.RUNNING})


@dataclass(frozen=True)
class Incarnation:
    """One life of a server: changes with every start. `key` is compared, the rest is for people."""

    key: str  # "<boot id>/<pid>/<start time in clock ticks>" of the API server, or "none" when there is no process
    pid: int = 0
    started: float = 0.0  # seconds since the epoch


NO_INCARNATION = Incarnation("none")


UNKNOWN_USER = -1  # in place of a user's number


@dataclass(frozen=True)
class ProcessRef:
    """A process that cannot be confused with a later one of the same pid."""

    pid: int
    start_ticks: int  # field 22 of /proc/<pid>/stat, clock ticks since boot
    role: str  # api_server, engine_core, worker, helper
    title: str  # its command line, cut to 120 characters
    uid: int = field(default=UNKNOWN_USER, compare=False)  # the user as whom it ran when it was recorded


@dataclass(frozen=True)
class SupervisorView:
    """A target as an actuator has just seen it."""

    state: RunState
    incarnation: Incarnation
    tree: tuple[ProcessRef, ...] = ()  # living processes of this incarnation
    orphans: tuple[ProcessRef, ...] = ()  # living processes of an earlier incarnation whose API server is gone
    survivors: Mapping[str, tuple[ProcessRef, ...]] = field(default_factory=dict)  # what lives of each one on record
    unsupervised: tuple[ProcessRef, ...] = ()  # an earlier incarnation that lives on, unknown to its supervisor
    stranger: ProcessRef | None = None  # a vLLM server on its port that neither the supervisor nor the record knows
    last_start: float = 0.0  # when the supervisor started it last, in its own seconds since the epoch; 0: not known
    restarts_itself: bool | None = None  # whether the supervisor restarts what exits; None: it does not say
    forwarded: bool = False  # another program listens on its port for it, and accepts also where nobody is behind
    traced: str = ""  # which of its processes another one debugs; '' when none is seen to
    no_way_back: str = ""  # why it could not be started again once it is stopped; '' when nothing speaks against it
    detail: str = ""


class Health(StrEnum):
    """The answers of GET /health: refused means dead, timeout means saturated or blocked, 503 means engine dead."""

    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNAVAILABLE = "503"  # vLLM's own, 500 in old releases: without a body, while its other paths answer
    SCALING = "scaling"  # vLLM says so itself, on every path
    UNHEARD = "closed unasked"  # accepted and closed before anything was sent: a forwarder with nobody behind it
    UNREACHABLE = "unreachable"  # its name does not resolve, or no route leads there
    GATEWAY = "answered by another"  # 404, 502, 503, 504 of a proxy or of whatever else stands before vLLM
    OTHER = "other"


@dataclass(frozen=True)
class Canary:
    """A one-token completion. `applicable` is False for pooling models and the like: it then proves nothing."""

    ok: bool
    applicable: bool
    seconds: float
    detail: str = ""
    answered: bool = False  # an error or a closed connection came back: whatever is wrong, it is no hang


@dataclass(frozen=True)
class Look:
    """The healer's own look at a target, before acting and in verification."""

    health: Health
    canary: Canary | None  # None: not sent, because /health already settled it or the server is paused
    paused: bool | None  # None: the server does not say (dev mode off, or it did not answer)
    work: tuple[float, ...] | None  # engine-pushed values, to compare with an earlier look; None: none shown
    work_before: tuple[float, ...] | None = None  # the same values just before the canary; None: no canary was sent
    detail: str = ""  # what /health answered, where `health` does not say it all


@dataclass(frozen=True)
class Signal:
    """One sample of Prometheus with its age in seconds, computed there (`time() - timestamp(x)`)."""

    value: float
    age: float


@dataclass(frozen=True)
class Signals:
    """The samples that Prometheus has of one server; None where a series is absent."""

    stalled: Signal | None = None
    progress_age: Signal | None = None
    stall_limit: Signal | None = None
    work_present: Signal | None = None
    running: Signal | None = None
    waiting: Signal | None = None
    canary_failures: Signal | None = None
    orphans: Signal | None = None
    more: Mapping[str, Signal] = field(default_factory=dict)  # by series: what detectors read beyond these
    faults: Mapping[str, Signal] = field(default_factory=dict)  # by failure mode: 1 while an alert tells of it

    def ages(self) -> tuple[float, ...]:
        """The age of each sample that there is, in seconds."""
        every = (*(getattr(self, each.name) for each in fields(self)), *self.more.values(), *self.faults.values())
        return tuple(signal.age for signal in every if isinstance(signal, Signal))


@dataclass(frozen=True)
class Target:
    """A server of healer.yml. Nothing else may ever be acted on."""

    server: str
    url: str  # http://host:port
    pool: str
    actuator: str  # name of a module in actuators/
    options: dict[str, str] = field(default_factory=dict)  # the actuator's own settings
    api_key_file: str = ""
    ca_file: str = ""
    start_timeout: float = 600.0  # seconds from start to a verified answer
    monitor_token_file: str = ""  # of the part inside vLLM, for vLLM's management paths


@dataclass(frozen=True)
class TargetMemory:
    """The healer's memory of one server."""

    seen_ready: bool = False
    ready_incarnation: str = ""  # key of the incarnation that was ready last
    incarnation: str = ""  # Incarnation.key seen last; '' when none was ever seen
    incarnation_first_seen: Instant | None = None
    trees: dict[str, tuple[ProcessRef, ...]] = field(default_factory=dict)  # by incarnation, oldest first


@dataclass(frozen=True)
class Facts:
    """The facts that a decision about one incident rests on, read beforehand; `blind` names what did not answer."""

    now: Instant
    target: Target | None  # exactly one listed target, or None
    target_problem: str = ""  # why there is no target: unknown, ambiguous, no server label
    signals: Signals | None = None
    supervisor: SupervisorView | None = None
    look: Look | None = None
    seen_ready: bool = False  # this target was verified ready at least once, ever
    was_ready: bool = False  # and so was the very process that runs now
    last_alive: str = ""  # key of the newest incarnation that the healer has seen alive
    last_was_ready: bool = False  # and whether that one was ready once
    first_seen: Instant | None = None  # when the healer first saw the incarnation that runs now; None: just now
    still_firing: frozenset[str] = frozenset()  # names of its alerts that are active and may support an action
    watchdog: bool = False  # our Prometheus' Watchdog alert is active in Alertmanager
    watchdog_problem: str = ""  # why it is not, in words
    healthy_others: int = 0  # servers of the same pool, this one excluded, that are healthy and not stalled
    pool_size: int = 1  # listed servers of its pool, this one included
    listed: int = 1  # servers in healer.yml
    looking_bad: frozenset[str] = (
        frozenset()
    )  # listed servers, this one included, that Prometheus does not call healthy
    other_looks: Mapping[str, Look] = field(default_factory=dict)  # the healer's own looks at some of these
    blind: tuple[str, ...] = ()
    earlier: Look | None = None  # an earlier look of this incident, to compare `work` with
    max_signal_age: float = 15.0  # seconds; Limits.max_signal_age: an older sample is no evidence


@dataclass(frozen=True)
class Diagnosis:
    """A named cause with the evidence in words."""

    cause: str  # the detector's module name, or 'starting', 'none', 'unknown'
    evidence: str
    supporting_alerts: frozenset[str] = frozenset()  # alert names that must still fire for an action on this cause
    advice: str = ""  # what a person does about it, in words; '' where the remediation says it
    ruled_out: tuple[str, ...] = field(default=(), compare=False)  # causes that it was asked for before, and is not
    sample_age: float | None = field(default=None, compare=False)  # seconds, of the oldest sample that counted

    def words(self) -> str:
        """The cause, its evidence with its age, and what was ruled out, in one sentence."""
        age = f"samples up to {self.sample_age:.0f} s old" if self.sample_age is not None else ""
        no = f"ruled out: {', '.join(self.ruled_out)}" if self.ruled_out else ""
        about = "; ".join(filter(None, (age, no)))
        return f"{self.cause}: {self.evidence} ({about})" if about else f"{self.cause}: {self.evidence}"


@dataclass(frozen=True)
class Plan:
    """The plan to run one remediation on one incarnation of one target."""

    incident: int
    server: str
    pool: str
    remediation: str  # the remediation's module name
    destructive: bool  # kills or restarts something: all guards apply. False: only tells
    incarnation: str  # Incarnation.key it was decided on
    reason: str
    diagnosis: Diagnosis
    verify: bool = False  # a non-destructive plan that still waits for the server to come back
    allowed: bool = False  # healer.yml lists the remediation; set by `choose`, judged by the guard
    processes: tuple[ProcessRef, ...] = ()  # exactly these are ended, by a remediation that names processes
    amount: int = 0  # how much of it, for a remediation that sets a limit; 0: it sets none


@dataclass(frozen=True)
class Refusal:
    """The reason not to act. `reason` is one of a fixed set of words (a metric label), `words` is for people."""

    reason: str
    words: str


@dataclass(frozen=True)
class Permit:
    """A journalled intent: the reservation of the pool, the cooldown and the budget, in one transaction."""

    action: int
    plan: Plan
    at: Instant


class Outcome(StrEnum):
    DONE = "done"  # the actuator did it
    ALREADY = "already"  # the incarnation had changed: another had restarted it; recorded, not repeated
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """The result of carrying out a plan."""

    outcome: Outcome
    words: str
    incarnation: str = ""  # after the action
    retry_after: float = 0.0  # seconds after which the same command may be tried again; 0: trying again cannot help


class Verification(StrEnum):
    RECOVERED = "recovered"
    NOT_YET = "not_yet"
    FAILED = "failed"
    DROPPED = "dropped"  # given up before anything was done: there is nothing to verify


@dataclass(frozen=True)
class Verdict:
    verification: Verification
    words: str


@dataclass(frozen=True)
class Lesson:
    """The lesson of a finished action; only verified ones teach."""

    remediation: str
    cause: str
    recovered: bool
    seconds: float  # from intent to verified


class Verb(StrEnum):
    """The verbs by which an action changes something."""

    STOP = "stop"
    START = "start"
    SIGNAL = "signal"
    HTTP = "http"


STOP_STEP = "stop"  # the step that ends a server; a ledger entry tells by it whether an action has begun to

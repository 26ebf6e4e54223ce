"""Events, as they happen: each goes to every subscription and waits there until it is drained.

A kind of event is a dataclass below. Its fields are those of its line in the event log; one with a default is left out
of the line while it has it. None holds a prompt, a key or other text of a user.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

from vllm_exporter.clock import Clock
from vllm_exporter.facts.values import ExitCause, Role

Severity = Literal["info", "warning", "error", "critical"]
KEPT = 200  # events kept for subscriptions that are made later; a start of the exporter emits a few dozen

EventField = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Event:
    """The fields that all kinds of events have."""

    kind: ClassVar[str]
    occasion: ClassVar[str]  # when it is emitted, for docs/collectors/events.md

    severity: Severity
    summary: str  # a sentence for people
    server: str = ""  # '' when it concerns the host, or the server is not known
    model_name: str = ""
    time: float = 0.0  # Unix time; 0.0 means now, and is replaced by the bus

    def own_fields(self) -> dict[str, EventField]:
        """Returns the fields of its kind as the event log has them, without those that have their default."""
        mine = [one for one in fields(self) if one.name not in COMMON]
        given = {one.name: getattr(self, one.name) for one in mine if getattr(self, one.name) != one.default}
        return {name.rstrip("_"): value for name, value in given.items()}


COMMON = frozenset(one.name for one in fields(Event))


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    """A server changed its lifecycle state. The states: subjects/lifecycle/states.py."""

    kind = "lifecycle"
    occasion = "a server changes its [state](../lifecycle.md)"

    from_: str
    to: str
    legal: bool  # True if `to` may follow `from_`
    seconds: float  # in the old state


@dataclass(frozen=True, kw_only=True)
class LineNoticed(Event):
    """A log line has a class that is worth an event."""

    kind = "log"
    occasion = "a line of a [class](../log-classes.md) above info is read, or one that shows a step of the lifecycle"

    class_: str
    excerpt: str  # redacted
    process: str  # as the line names it; '' when it does not
    role: Role | None
    rank: str  # as in the process title: 'DP0_TP1'
    pid: int | None
    wrapper: bool  # a symptom of another line
    untold: int = 0  # lines of this class since the last event of it
    state: str = ""  # the lifecycle state that the line proves
    exception: str = ""  # its type, where the line ends a traceback
    frame: str = ""  # the last one of the traceback: 'core.py:run_busy_loop'


@dataclass(frozen=True, kw_only=True)
class ProcessExited(Event):
    """One of a server's processes ended."""

    kind = "exit"
    occasion = "a process of a server ended"

    cause: ExitCause
    code: int | None  # exit code, or the negative number of the signal; None: not known
    pid: int
    role: Role
    rank: str
    container: str  # its name; '' outside containers


@dataclass(frozen=True, kw_only=True)
class ProcessOomKilled(Event):
    """The kernel killed one of a server's processes for its memory; its exit is an event of its own."""

    kind = "oom_kill"
    occasion = "the kernel killed a process of a server for its memory"

    pid: int
    role: Role
    rank: str
    container: str


@dataclass(frozen=True, kw_only=True)
class XidReported(Event):
    """NVIDIA's driver reported an error of a GPU. The codes: facts/xids.py."""

    kind = "xid"
    occasion = "a GPU reports an error"

    gpu_id: str  # '' when it is not known which
    xid: int
    xid_class: str  # the immediate action


@dataclass(frozen=True, kw_only=True)
class RankFellBehind(Event):
    """A rank of a parallel group holds the others up."""

    kind = "straggler"
    occasion = "a rank holds the others up"

    rank: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RankMisplaced(Event):
    """A rank was placed where it costs speed."""

    kind = "topology"
    occasion = "a rank is placed badly"

    rank: str
    gpu_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RequestsFailed(Event):
    """A server answered requests with 5xx, our own canaries not counted."""

    kind = "failed_requests"
    occasion = (
        "a server answered requests with 5xx: one event with their number, every ten seconds at most. Our own canaries "
        "do not count. vLLM 0.8.3 and later"
    )

    count: int


@dataclass(frozen=True, kw_only=True)
class UserRequestFailed(Event):
    """A request of a user failed, as the server's own process saw it."""

    kind = "failed_request"
    occasion = (
        "a request of a user failed; needs the middleware of [the part inside vLLM](../inside-vllm.md), else there is "
        "only `failed_requests`"
    )

    id: str  # as vLLM calls it, else as its client did; '' without either
    type: str  # one of the ten
    status: int  # of the answer; 0 when none had begun
    endpoint: str
    tenant: str
    duration_seconds: float
    ttft_seconds: float | None = None  # None: no part of a stream was sent
    prompt_tokens: int | None = None  # None: the engine did not know it, or was not asked in time
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExceptionRaised(Event):
    """An exception of one of a server's processes that nobody caught, or of a request's handler."""

    kind = "exception"
    occasion = (
        "nobody caught an exception in a process of a server, or a request's handler raised one; needs "
        "[the part inside vLLM](../inside-vllm.md). A stack that comes again is told once a minute"
    )

    exception: str  # its class
    origin: str  # main, thread, asyncio or handler
    fingerprint: str  # the same for the same stack
    stack: str  # files, lines and functions, the innermost first
    count: int  # since the stack was told last
    pid: int  # in the process's own PID namespace
    cause: str = ""  # class of the exception it was raised from


class Subscription:
    """Holds the events since the last drain; of more than `limit` the oldest are dropped and counted."""

    def __init__(self, limit: int) -> None:
        self._waiting: deque[Event] = deque(maxlen=limit)
        self.dropped = 0

    def put(self, event: Event) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append(event)

    def drain(self) -> list[Event]:
        """Returns the events and removes them. Called from one thread only; events may arrive meanwhile."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]


class Bus:
    """Carries events from the collectors that see them to every subscription."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subscriptions: tuple[Subscription, ...] = ()
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._lock = threading.Lock()  # an event must not come between the last kept one and the subscription

    def subscribe(self, limit: int = 1000) -> Subscription:
        """Returns a subscription to all events from now on and the last KEPT before: collectors start in any order."""
        made = Subscription(limit)
        with self._lock:
            for event in self._kept:
                made.put(event)
            self._subscriptions = (*self._subscriptions, made)
        return made

    def emit(self, event: Event) -> None:
        """Puts an event into every subscription. Waits for nothing but other events."""
        if not event.time:
            event = replace(event, time=self._clock.wall())
        with self._lock:
            self._kept.append(event)
            for one in self._subscriptions:
                one.put(event)

"""Decides which requests are let in while the server is told to shed load. Pure but for the clock.

The event loop admits and releases; another thread brings orders and says what was generated. What both write is apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from vllm_monitor.limits import Limit
from vllm_monitor.outcomes import Exchange

Reason = Literal["concurrency", "requests", "tokens"]
REASONS: tuple[Reason, ...] = ("concurrency", "requests", "tokens")
BURST = 1.0  # seconds of a rate that may come at once
ROUNDING = 1e-6  # seconds
RETRY = 1.0  # seconds after which to try again when requests at once are too many: nobody knows when one ends
LONGEST_RETRY = 60
CANARIES = 5.0  # a second that are let in whatever is said: our own are ten times fewer, and a liar gets no more


@dataclass(frozen=True)
class Task:
    """The part of an order that this process has to keep to."""

    limits: tuple[Limit, ...]
    until: float  # CLOCK_MONOTONIC, seconds
    status: int = 429
    generation: int = 0
    place: int = 0  # of this process among
    of: int = 1  # those that keep to the order together

    @property
    def reads_body(self) -> bool:
        """True if only its body tells whether a request is let in."""
        return any(limit.reads_body for limit in self.limits)


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let in, and when it may be: seconds from now."""

    reason: Reason
    retry: float
    status: int
    limit: Limit

    @property
    def retry_after(self) -> int:
        """Whole seconds, for the header."""
        return min(LONGEST_RETRY, max(1, ceil(self.retry)))


@dataclass
class Rate:
    """A rate that is kept by a schedule: the time at which what was let in would be through (GCRA)."""

    through: float = 0.0

    def wait(self, rate: float, amount: float, now: float) -> float:
        """Returns the seconds to wait for `amount`; 0.0: none."""
        if rate <= 0:
            return float(LONGEST_RETRY)
        wait = max(0.0, self.through - now) + amount / rate - max(BURST, amount / rate)
        return wait if wait > ROUNDING else 0.0

    def take(self, rate: float, amount: float, now: float) -> None:
        if rate > 0:
            self.through = max(self.through, now) + amount / rate


@dataclass
class Meter:
    """What goes through under one limit in this process."""

    limit: Limit
    in_flight: int = 0
    requests: Rate = field(default_factory=Rate)
    tokens: Rate = field(default_factory=Rate)
    generated: float = 0.0  # tokens; the other thread adds to it
    seen: float = 0.0  # of these, by the loop

    def refuses(self, task: Task, now: float) -> tuple[Reason, float] | None:
        """Returns why another request is too much, and for how many seconds."""
        limit, generated = self.limit, self.generated
        if limit.tokens_per_second is not None:
            rate = limit.tokens_per_second / task.of
            self.tokens.take(rate, generated - self.seen, now)
            self.seen = generated
            wait = self.tokens.wait(rate, 0.0, now)
            if wait > 0:
                return "tokens", wait
        if limit.concurrency is not None and self.in_flight >= share(limit.concurrency, task):
            return "concurrency", RETRY
        if limit.requests_per_second is not None:
            wait = self.requests.wait(limit.requests_per_second / task.of, 1.0, now)
            if wait > 0:
                return "requests", wait
        return None

    def enter(self, task: Task, now: float) -> None:
        self.in_flight += 1
        if self.limit.requests_per_second is not None:
            self.requests.take(self.limit.requests_per_second / task.of, 1.0, now)


class Throttle:
    """The limits in force. Without a task, or after its time, everybody is let in."""

    def __init__(self) -> None:
        self.task: Task | None = None  # the other thread sets it
        self.refused: dict[Reason, int] = dict.fromkeys(REASONS, 0)
        self._task: Task | None = None  # that the meters are for
        self._meters: dict[Limit, Meter] = {}
        self._canaries = Rate()

    def in_force(self, now: float) -> Task | None:
        """Returns the task that is to be kept now."""
        task = self.task
        return task if task is not None and now < task.until else None

    def refuses(self, exchange: Exchange, others: Iterable[Exchange], task: Task, now: float) -> Refusal | None:
        """Lets a request in, or returns why not. `others` are those on their way, this one not among them.

        Who is let in is `released` at its end.
        """
        if task is not self._task:
            self._take_up(task, others)
        meters = [meter for meter in self._meters.values() if _covers(meter, exchange)]
        for meter in meters:
            found = meter.refuses(task, now)
            if found is not None:
                self.refused[found[0]] += 1
                return Refusal(*found, task.status, meter.limit)
        for meter in meters:
            meter.enter(task, now)
        exchange.meters = tuple(meters)
        return None

    def lets_canary_in(self, now: float) -> bool:
        """True for as many as are ours."""
        if self._canaries.wait(CANARIES, 1.0, now) > 0:
            return False
        self._canaries.take(CANARIES, 1.0, now)
        return True

    def _take_up(self, task: Task, others: Iterable[Exchange]) -> None:
        """Goes on with the meters where only the share has changed; a new order begins with what is on its way."""
        goes_on = self._task is not None and self._task.generation == task.generation
        self._task = task
        if goes_on:
            return
        self._meters = {limit: Meter(limit) for limit in task.limits}
        for exchange in others:
            exchange.meters = tuple(meter for meter in self._meters.values() if _covers(meter, exchange))
            for meter in exchange.meters:
                meter.in_flight += 1


def release(exchange: Exchange) -> None:
    """Takes a request that has ended out of the counts."""
    for meter in exchange.meters:
        meter.in_flight -= 1


def charge(exchange: Exchange, tokens: float) -> None:
    """Counts the tokens that a request has had until now; of the other thread."""
    more, exchange.charged = tokens - exchange.charged, tokens
    for meter in exchange.meters:
        meter.generated += more


def share(most: int, task: Task) -> int:
    """Returns how many of `most` this process may have: those of all processes together are `most`."""
    return most // task.of + (task.place < most % task.of)


def _covers(meter: Meter, exchange: Exchange) -> bool:
    return meter.limit.covers(exchange.tenant, exchange.model, exchange.priority)

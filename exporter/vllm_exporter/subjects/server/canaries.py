"""The canary requests to one server: when the next is due, and what the past ones prove. Pure: time is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vllm_exporter.config.config import ProbeConfig

CanaryResult = Literal["ok", "timeout", "error", "not_applicable"]
CANARY_RESULTS: tuple[CanaryResult, ...] = ("ok", "timeout", "error", "not_applicable")

SUSPICIOUS_AGE = 10.0  # seconds without progress under load before one is sent: a third of the shortest stall limit
PROMPT_ERRORS = 3  # errors in a row until the next canary waits: after a restart people want to see it work at once
LONGEST_BACKOFF = 30.0  # seconds between two errors at most, if canaries of an idle server are further apart
NOT_APPLICABLE_RETRY = 60.0  # seconds: a pooling model stays one, but a wrong API key may be corrected


@dataclass(frozen=True)
class CanaryTokens:
    """The tokens of a canary. None and 0: it got none, or the server did not count them."""

    first_token: float | None = None  # seconds from the request
    prompt: int = 0
    generation: int = 0


@dataclass(frozen=True)
class CanaryState:
    """The last finished canary that counts, and how many of each result there ever were."""

    result: CanaryResult | None  # None: none finished since the server came up, woke up or was resumed
    seconds: float
    failures: int  # in a row
    totals: dict[CanaryResult, int]
    first_token: float | None = None  # seconds, of the last one
    prompt_tokens: int = 0  # of all there ever were
    generation_tokens: int = 0


NO_TOKENS = CanaryTokens()


class Canaries:
    """At most one canary is in flight. Times are the monotonic clock's, in seconds."""

    def __init__(self, probe: ProbeConfig) -> None:
        self._probe = probe
        self._totals: dict[CanaryResult, int] = dict.fromkeys(CANARY_RESULTS, 0)
        self._sent: float | None = None  # of the one in flight
        self._void = False  # True if the one in flight went to a server that is no more, or sleeps
        self._proof = _Proof()
        self._prompt_tokens = self._generation_tokens = 0

    def send(self, now: float) -> None:
        self._sent, self._void = now, False

    def finish(self, now: float, result: CanaryResult, tokens: CanaryTokens = NO_TOKENS) -> bool:
        """Returns True if it counts: one sent before `reset` says nothing about the present server."""
        sent, self._sent = self._sent, None
        self._totals[result] += 1
        self._prompt_tokens += tokens.prompt
        self._generation_tokens += tokens.generation
        if sent is None or self._void:
            return False
        failures = self._proof.failures + 1 if result in ("timeout", "error") else 0
        errors = self._proof.errors + 1 if result == "error" else 0
        timed_out = sent if result == "timeout" else self._proof.timed_out
        self._proof = _Proof(result, now - sent, sent, now, failures, errors, timed_out, tokens.first_token)
        return True

    def reset(self) -> None:
        """Forgets what was proved; the one in flight, if any, still has to finish."""
        self._void = self._sent is not None
        self._proof = _Proof()

    def due(self, now: float, age: float | None, suspicious: float = SUSPICIOUS_AGE) -> bool:
        """True if the next is due. `age`: seconds without progress while work is present; None: idle or unreadable.
        `suspicious`: the age from which one is sent under load."""
        if self._sent is not None:
            return False
        if self._proof.last == "timeout":
            return True  # each takes its whole timeout, and only a fresh one proves a stall
        if self._proof.last == "error":
            return now - self._proof.finished >= self._backoff()
        if self._proof.last == "not_applicable":
            return now - self._proof.finished >= NOT_APPLICABLE_RETRY
        if age is not None:
            return age >= suspicious
        return self._proof.last is None or now - self._proof.sent >= self._probe.canary_interval

    @property
    def refused(self) -> bool:
        """True if the server takes none: it cannot complete, or not with our key."""
        return self._proof.last == "not_applicable"

    @property
    def unanswered(self) -> bool:
        """True if one is in flight, or the last one got no answer at all. An error is an answer."""
        return (self._sent is not None and not self._void) or self._proof.last == "timeout"

    def unanswered_since(self, start: float, now: float) -> bool:
        """True if one that was sent at `start` or later timed out, or has been waiting for its whole timeout."""
        if self._proof.timed_out is not None and self._proof.timed_out >= start:
            return True
        if self._sent is None or self._void:
            return False
        return self._sent >= start and now - self._sent >= self._probe.canary_timeout

    def _backoff(self) -> float:
        """Returns seconds: 0 after the first errors, then 2, 4, 8 … up to canary_interval or LONGEST_BACKOFF."""
        more = self._proof.errors - PROMPT_ERRORS
        most = min(self._probe.canary_interval, LONGEST_BACKOFF)
        return 0.0 if more < 0 else min(most, 2.0 ** min(more + 1, 10))

    def state(self) -> CanaryState:
        proof = self._proof
        return CanaryState(
            proof.last,
            proof.seconds,
            proof.failures,
            dict(self._totals),
            proof.first_token,
            self._prompt_tokens,
            self._generation_tokens,
        )


@dataclass(frozen=True)
class _Proof:
    """The results of finished canaries since `reset`."""

    last: CanaryResult | None = None
    seconds: float = 0.0  # duration of the last
    sent: float = 0.0  # when the last was sent
    finished: float = 0.0
    failures: int = 0  # in a row
    errors: int = 0  # in a row
    timed_out: float | None = None  # when the last one that timed out was sent
    first_token: float | None = None  # seconds, of the last

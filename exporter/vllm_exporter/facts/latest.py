"""The board, through which collectors share the newest fact of each kind. The facts are in facts.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from vllm_exporter.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True)
class PostedFact:
    """A fact and when it was put there, in monotonic seconds."""

    fact: object
    at: float


class Board:
    """Holds one fact per type. Its collector replaces it as a whole; any thread reads it at once, without a lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._posted: dict[type, PostedFact] = {}

    def post(self, fact: object) -> None:
        """Replaces the fact of the same type. It must be immutable: it is read from other threads."""
        self._posted[type(fact)] = PostedFact(fact, self._clock.monotonic())

    def latest(self, kind: type[T], max_age: float = 15.0) -> T | None:
        """Returns the newest fact; None if it is older than `max_age` seconds: its collector is off, fails or hangs."""
        posted = self._posted.get(kind)
        if posted is None or self._clock.monotonic() - posted.at > max_age:
            return None
        return posted.fact if isinstance(posted.fact, kind) else None

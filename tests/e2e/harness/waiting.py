"""Waiting for something outside this process, always with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TimedOutError(AssertionError):
    """What was waited for did not come."""


def until(what: str, look: Callable[[], T | None], seconds: float, every: float = 0.25) -> T:
    """The first true answer of `look`. Raises TimedOutError, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimedOutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(every)


def never(what: str, look: Callable[[], object], seconds: float, every: float = 0.5) -> None:
    """Watches for `seconds` that `look` stays false. Raises AssertionError, naming `what`, when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = look()
        if answer:
            raise AssertionError(f"{what}: {answer}")
        time.sleep(every)

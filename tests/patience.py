"""How long tests wait for what must happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

# Seconds. On an idle machine everything that is waited for so takes less than two; on one whose two cores build Go
# programs at the same time, twenty times that has been seen. What is a goal of the product has its own limit.
PATIENCE = 45.0

T = TypeVar("T")


def wait_for(asked: Callable[[], T], what: str = "it", story: Callable[[], object] = str, pause: float = 0.005) -> T:
    """Asks again and again, for what other threads and processes do; returns the first answer that is true.

    `what` and `story` are for the message of the AssertionError after PATIENCE; `pause`: seconds between two questions.
    """
    until = time.monotonic() + PATIENCE
    while not (found := asked()):
        assert time.monotonic() < until, f"waited {PATIENCE:g} s for {what}, last {found!r} {story()}"
        time.sleep(pause)
    return found

"""The wait of a call in the event loop, by a loop that a test answers for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from vllm_monitor import loop_lag
from vllm_monitor.loop_lag import WINDOW, LoopLag
from vllm_monitor.series import Series


class FakeLoop:
    """Keeps what it is asked to call until the test lets it."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []
        self.closed = False

    def call_soon_threadsafe(self, call: Callable[[], None]) -> None:
        if self.closed:
            raise RuntimeError("closed")
        self.asked.append(call)

    def is_closed(self) -> bool:
        return self.closed

    def answer(self) -> None:
        self.asked.pop()()


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.loop = FakeLoop()
        self.series = Series()
        self._lag = LoopLag(self.series, cast(Any, self.loop))
        monkeypatch.setattr(loop_lag, "monotonic", lambda: self.now)

    def lag(self, later: float = 0.0) -> float:
        """The gauge after another round."""
        self.now += later
        list(self._lag(self.now))
        return self.series.values[0]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_loop_that_answers_has_no_lag(scene: Scene) -> None:
    for _ in range(5):
        assert scene.lag(0.25) == 0.0
        scene.loop.answer()


def test_a_blocked_loop_shows_how_long_it_has_been_so(scene: Scene) -> None:
    scene.lag()
    assert scene.lag(1.0) == 1.0
    assert scene.lag(29.0) == 30.0
    assert len(scene.loop.asked) == 1


def test_a_wait_that_is_over_is_shown_for_two_scrapes(scene: Scene) -> None:
    scene.lag()
    scene.now += 3.0
    scene.loop.answer()
    assert scene.lag(0.25) == 3.0
    scene.loop.answer()
    assert scene.lag(WINDOW) == 0.0


def test_a_loop_that_is_closed_is_not_asked(scene: Scene) -> None:
    scene.loop.closed = True
    assert scene.lag() == 0.0
    assert scene.lag(5.0) == 0.0

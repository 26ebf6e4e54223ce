from __future__ import annotations

from dataclasses import dataclass

from tests.exporter.fakes import FakeClock
from vllm_exporter.facts.latest import Board


@dataclass(frozen=True)
class Weather:
    words: str


@dataclass(frozen=True)
class Tide:
    metres: float


def test_gives_the_newest_fact_of_a_kind(clock: FakeClock) -> None:
    board = Board(clock)
    board.post(Weather("rain"))
    board.post(Tide(2.0))
    board.post(Weather("sun"))
    assert board.latest(Weather) == Weather("sun")


def test_what_nobody_has_told_is_not_known(clock: FakeClock) -> None:
    assert Board(clock).latest(Weather) is None


def test_what_was_told_too_long_ago_is_not_known(clock: FakeClock) -> None:
    board = Board(clock)
    board.post(Weather("rain"))
    clock.advance(15)
    assert board.latest(Weather) == Weather("rain")
    clock.advance(0.1)
    assert board.latest(Weather) is None
    assert board.latest(Weather, max_age=60) == Weather("rain")

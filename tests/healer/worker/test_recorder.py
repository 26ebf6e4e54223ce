"""History shows the present reason: a finding is written again when its reason changes, not at each look."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.model import Instant
from vllm_healer.worker.recorder import Recorder


@dataclass
class Pad:
    """Stands in for the worker's dependencies: a clock that is set, and a journal that keeps what is noted."""

    now_is: Instant
    written: list[str] = field(default_factory=list)

    @property
    def clock(self) -> Pad:
        return self

    @property
    def journal(self) -> Pad:
        return self

    def now(self) -> Instant:
        return self.now_is

    def note_open(self, incident: int, kind: str, words: str, now: Instant) -> bool:
        self.written.append(words)
        return True


@pytest.fixture
def pad(cases: ModuleType) -> Pad:
    return Pad(cases.NOW)


def find(pad: Pad, cases: ModuleType, found: dict[float, str]) -> list[str]:
    """The sentences written when the same cause is found with these words, by seconds."""
    dependencies: Any = pad
    recorder = Recorder(dependencies)
    for seconds, words in found.items():
        pad.now_is = cases.at(seconds)
        recorder.finding(cases.incident(), "unknown", words)
    return pad.written


def test_the_same_reason_is_written_once_in_five_minutes(pad: Pad, cases: ModuleType) -> None:
    found = {float(seconds): f"unknown: it is {seconds} s old" for seconds in range(0, 300, 5)}
    assert find(pad, cases, found) == ["unknown: it is 0 s old"]


def test_another_reason_of_the_same_cause_is_written(pad: Pad, cases: ModuleType) -> None:
    found = {0.0: "unknown: HTTP 403", 20.0: "unknown: HTTP 502", 40.0: "unknown: no JSON", 45.0: "unknown: no JSON"}
    assert find(pad, cases, found) == ["unknown: HTTP 403", "unknown: HTTP 502", "unknown: no JSON"]


def test_reasons_that_take_turns_are_written_four_times_a_minute_at_most(pad: Pad, cases: ModuleType) -> None:
    found = {float(seconds): f"unknown: HTTP {403 if seconds % 2 else 502}" for seconds in range(0, 60, 5)}
    assert len(find(pad, cases, found)) == 4

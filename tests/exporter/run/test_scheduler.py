"""Real threads: they are waited for, and nothing is measured. What hangs waits for an event that the test sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.exporter.fakes import SUBJECT, LogLines, collector
from tests.patience import PATIENCE, wait_for
from vllm_exporter.clock import SystemClock
from vllm_exporter.config.config import Config
from vllm_exporter.metrics.family import Row
from vllm_exporter.run import scheduler as module
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.run.runner import Runner
from vllm_exporter.run.schedule import ScrapeTimes
from vllm_exporter.run.scheduler import Scheduler

INTERVAL = 0.02


class Case:
    """Collectors that note their runs: the name and the thread of each."""

    def __init__(self, log: LogLines) -> None:
        self.runs: list[tuple[str, str]] = []
        self.closed: list[str] = []
        self.hang = threading.Event()  # while it is set, `one` hangs
        self.release = threading.Event()
        self.log = log

    def start(self, *names: str, **turns: int) -> None:
        context, clock = Context(Config(), SystemClock()), SystemClock()
        runners = [
            Runner(name, self._make(name, turns.get(name, 0)), context, self.log, ScrapeTimes(), INTERVAL)
            for name in names
        ]
        self.scheduler = Scheduler(runners, clock, self.log)
        self.scheduler.start()

    def _make(self, name: str, turn: int) -> type[Collector]:
        def collect() -> Iterator[Row]:
            self.runs.append((name, threading.current_thread().name))
            if name == "one" and self.hang.is_set():
                self.release.wait(PATIENCE)
            yield SUBJECT.sample(1)

        return collector(collect, turn=turn, close=lambda self_: self.closed.append(name))

    def threads(self, name: str) -> list[str]:
        """The threads of its runs so far."""
        return [thread for one, thread in list(self.runs) if one == name]

    def shared(self, name: str) -> bool:
        return self.threads(name)[-1:] == ["collectors"]

    def hang_in_the_shared_thread(self) -> None:
        wait_for(lambda: self.shared("one") and self.shared("two"))
        self.hang.set()
        wait_for(lambda: self.scheduler._busy is not None and self.scheduler._busy[0].name == "one")


@pytest.fixture
def case(log_lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "QUICK", PATIENCE)
    made = Case(log_lines)
    yield made
    made.hang.clear()
    made.release.set()
    made.scheduler.stop(PATIENCE)


def test_each_runs_in_a_thread_of_its_own_first_and_then_with_the_others(case: Case) -> None:
    case.start("one", "two")
    wait_for(lambda: case.shared("one") and case.shared("two"))
    assert case.threads("one")[0] == "collector-one"
    assert case.threads("two")[0] == "collector-two"


def test_one_that_hangs_keeps_the_thread_and_the_others_get_another(case: Case, log_lines: LogLines) -> None:
    case.start("one", "two")
    case.hang_in_the_shared_thread()
    before = len(case.threads("two"))
    case.scheduler.relieve()
    wait_for(lambda: len(case.threads("two")) > before + 2)
    said = ("info", "collector is slow and runs in a thread of its own", {"collector": "one"})
    assert log_lines.lines == [said]


def test_one_that_no_longer_hangs_comes_back(case: Case) -> None:
    case.start("one", "two")
    case.hang_in_the_shared_thread()
    case.scheduler.relieve()
    before = len(case.threads("one"))
    case.hang.clear()
    case.release.set()
    wait_for(lambda: len(case.threads("one")) > before + 2 and case.shared("one"))


def test_while_no_thread_can_be_had_it_is_tried_again(
    case: Case, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.start("one", "two")
    case.hang_in_the_shared_thread()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limit:
        limit.setattr(threading.Thread, "start", refuse)
        case.scheduler.relieve()
    assert [line[0] for line in log_lines.lines] == ["error"]
    before = len(case.threads("two"))
    case.scheduler.relieve()
    wait_for(lambda: len(case.threads("two")) > before)


def test_who_is_quick_is_left_where_it_is(case: Case, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", PATIENCE)
    case.start("one", "two")
    case.hang_in_the_shared_thread()
    case.scheduler.relieve()
    assert log_lines.lines == []


def test_those_that_are_due_together_run_in_their_turn(case: Case) -> None:
    case.start("one", "two", "three", one=2, two=1, three=0)
    wait_for(lambda: all(case.shared(name) for name in ("one", "two", "three")))
    case.runs.clear()
    wait_for(lambda: len(case.runs) >= 9)
    order = [name for name, _ in case.runs[:9]]
    at = order.index("three")
    assert order[at : at + 3] == ["three", "two", "one"]


def test_all_are_closed_when_it_is_stopped_and_one_that_hangs_is_not_waited_for(case: Case) -> None:
    case.start("one", "two")
    case.hang_in_the_shared_thread()
    case.scheduler.relieve()
    wait_for(lambda: len(case.threads("two")) > 2)
    case.scheduler.stop(0.1)
    wait_for(lambda: case.closed == ["two"])
    case.release.set()
    wait_for(lambda: case.closed == ["two", "one"])

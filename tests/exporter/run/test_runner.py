from __future__ import annotations

from collections.abc import Iterator

from tests.exporter.fakes import SUBJECT, FakeClock, LogLines, collector, raises, yields
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.metrics.series import Layout
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.run.runner import REPEAT_LOG_SECONDS, Runner, RunState, choose_view
from vllm_exporter.run.schedule import ScrapeTimes

ONE = Layout([(SUBJECT, ())]).block([1])
STALE_AFTER = 15.0  # with the collectors' interval of 1 s, samples live 16 s


def runner(cls: type[Collector], clock: FakeClock, log: LogLines) -> Runner:
    return Runner("subject", cls, Context(Config(stale_after=STALE_AFTER), clock), log, ScrapeTimes())


def test_keeps_the_samples_of_a_run_that_worked(clock: FakeClock, log_lines: LogLines) -> None:
    one = runner(collector(yields(7)), clock, log_lines)
    assert one.view().result == "not_run"
    one.run_once()
    view = one.view()
    assert (view.result, view.samples, view.worked_wall) == ("ok", (SUBJECT.sample(7),), 1_700_000_000.0)
    assert log_lines.lines == []


def test_a_failure_keeps_the_last_samples_until_they_are_stale(clock: FakeClock, log_lines: LogLines) -> None:
    values = yields(7)

    def collect() -> Iterator[Row]:
        try:
            return values()
        except IndexError:
            raise SourceError("the server answered nonsense") from None

    one = runner(collector(collect), clock, log_lines)
    one.run_once()
    clock.advance(16)
    one.run_once()
    assert (one.view().result, one.view().detail, one.view().errors) == ("failed", "the server answered nonsense", 1)
    assert one.view().samples == (SUBJECT.sample(7),)
    clock.advance(0.1)
    assert one.view().samples == ()
    assert one.view().worked_wall == 1_700_000_000.0


def test_no_data_is_no_failure_and_drops_the_samples_at_once(clock: FakeClock, log_lines: LogLines) -> None:
    one = runner(collector(raises(NoData("no GPU"))), clock, log_lines)
    one.run_once()
    view = one.view()
    assert (view.result, view.detail, view.errors, view.samples) == ("no_data", "no GPU", 0, ())
    assert view.worked_wall == 1_700_000_000.0


def test_an_unknown_exception_is_a_failure_told_with_its_place(clock: FakeClock, log_lines: LogLines) -> None:
    one = runner(collector(raises(ZeroDivisionError("oops"))), clock, log_lines)
    one.run_once()
    assert one.view().result == "failed"
    assert one.view().detail.startswith("ZeroDivisionError: oops (")
    assert "fakes.py:" in one.view().detail


def test_what_was_yielded_before_a_failure_is_dropped(clock: FakeClock, log_lines: LogLines) -> None:
    one = runner(collector(raises(SourceError("late"))), clock, log_lines)
    one.run_once()
    assert one.view().samples == ()


def test_a_run_in_progress_for_too_long_counts_as_failed() -> None:
    state = RunState("ok", block=ONE, worked_at=100.0, worked_wall=1.0, started=101.0)
    assert choose_view("x", state, 117.0, 1.0, STALE_AFTER).result == "ok"
    hangs = choose_view("x", state, 118.0, 1.0, STALE_AFTER)
    assert (hangs.result, hangs.detail, hangs.duration) == ("failed", "has been running for 17 s", 17.0)
    assert hangs.samples == ()


def test_samples_of_a_slow_collector_live_for_its_interval_and_more() -> None:
    state = RunState("ok", block=ONE, worked_at=100.0)
    assert choose_view("x", state, 175.0, 60.0, STALE_AFTER).samples == (SUBJECT.sample(1),)
    assert choose_view("x", state, 175.1, 60.0, STALE_AFTER).samples == ()


def test_a_wall_clock_that_steps_back_changes_no_age(clock: FakeClock, log_lines: LogLines) -> None:
    one = runner(collector(yields(1, 2)), clock, log_lines)
    one.run_once()
    clock.now_wall -= 86_400
    assert one.view().samples == (SUBJECT.sample(1),)
    clock.now_monotonic += 1
    one.run_once()
    view = one.view()
    assert (view.result, view.samples, view.duration) == ("ok", (SUBJECT.sample(2),), 0.0)
    assert view.worked_wall == 1_700_000_000.0 - 86_400


def test_a_collector_that_cannot_be_made_fails_and_is_made_again(clock: FakeClock, log_lines: LogLines) -> None:
    reasons = [SourceError("no socket")]

    def make(self: Collector, context: Context) -> None:
        if reasons:
            raise reasons.pop()

    one = runner(collector(yields(7), __init__=make), clock, log_lines)
    one.run_once()
    assert one.view().detail == "no socket"
    one.run_once()
    assert one.view().result == "ok"


def test_a_family_that_is_not_declared_is_a_failure(clock: FakeClock, log_lines: LogLines) -> None:
    other = Family("vllm_test_other", "gauge", "Other.")
    one = runner(collector(lambda: iter([other.sample(1)])), clock, log_lines)
    one.run_once()
    assert one.view().detail == "yields vllm_test_other, which its `metrics` do not declare"


def test_a_label_value_that_is_not_text_is_a_failure(clock: FakeClock, log_lines: LogLines) -> None:
    family = Family("vllm_test_x", "gauge", "X.", ("rank",))
    cls = collector(lambda: iter([family.sample(1, rank=0)]), metrics=(family,))  # type: ignore[arg-type]
    one = runner(cls, clock, log_lines)
    one.run_once()
    assert one.view().detail == "yields vllm_test_x: label values (0,) for labels ('rank',); each must be text"


def test_a_lasting_failure_is_logged_at_first_and_now_and_then(clock: FakeClock, log_lines: LogLines) -> None:
    one = runner(collector(raises(SourceError("broken"))), clock, log_lines)
    one.run_once()
    clock.advance(REPEAT_LOG_SECONDS - 1)
    one.run_once()
    assert log_lines.lines == [("error", "collector failed", {"collector": "subject", "reason": "broken", "errors": 1})]
    clock.advance(1)
    one.run_once()
    assert [line[2]["errors"] for line in log_lines.lines] == [1, 3]


def test_a_recovery_is_logged(clock: FakeClock, log_lines: LogLines) -> None:
    answers = [raises(NoData("not yet")), yields(1)]
    one = runner(collector(lambda: answers.pop(0)()), clock, log_lines)
    one.run_once()
    one.run_once()
    assert [line[1] for line in log_lines.lines] == ["collector has no data", "collector works again"]

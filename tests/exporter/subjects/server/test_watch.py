"""One server watched: what is asked when, with an API that answers from memory. Canary threads are waited for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from tests.exporter.fakes import FakeClock
from tests.patience import PATIENCE, wait_for
from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import EngineValues, Health, Ref
from vllm_exporter.subjects.server.api import DeepAnswer, DeepProbe, PauseAnswer, ServerInfo, VllmApi
from vllm_exporter.subjects.server.canaries import NO_TOKENS, CanaryResult, CanaryTokens
from vllm_exporter.subjects.server.engine import Blocks, EngineReading
from vllm_exporter.subjects.server.incarnation import Identity, Memory
from vllm_exporter.subjects.server.watch import BlockCounts, Watch


class FakeApi(VllmApi):
    def __init__(self) -> None:
        self.answer: Health = "ok"
        self.values: EngineValues | None = EngineValues(running=0, waiting=0, iterations=5)
        self.started: float | None = None
        self.problem = ""
        self.canary_answers = threading.Event()  # canaries wait for it
        self.canary_answers.set()
        self.asked: list[str] = []
        self.pause_answer = PauseAnswer(None)
        self.blocks: dict[str, Blocks] = {}
        self.said = ServerInfo("0.32.0", ("tiny",), 0.0)
        self.deep_answers: dict[str, DeepAnswer] = {}

    def health(self) -> Health:
        self.asked.append("health")
        return self.answer

    def engine(self) -> EngineReading | None:
        self.asked.append("metrics")
        if self.problem:
            raise SourceError(self.problem)
        if self.values is None:
            return None
        return EngineReading(self.values, {"0": self.values}, self.blocks, self.started)

    def canary(self) -> tuple[CanaryResult, CanaryTokens]:
        self.asked.append("canary")
        return ("ok", CanaryTokens(0.2, 7, 1)) if self.canary_answers.wait(5) else ("timeout", NO_TOKENS)

    def pause(self) -> PauseAnswer:
        self.asked.append("pause")
        return self.pause_answer

    def deep(self, probe: DeepProbe) -> DeepAnswer:
        self.asked.append(probe)
        return self.deep_answers.get(probe, DeepAnswer(False, supported=False))

    def about(self) -> ServerInfo:
        self.asked.append("about")
        return self.said

    def forget_model(self) -> None:
        self.asked.append("forget")

    def close(self) -> None:
        self.asked.append("close")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def watch(api: FakeApi, clock: FakeClock) -> Watch:
    return Watch("gpu1:8000", api, ProbeConfig(), True, clock)


def look(watch: Watch, clock: FakeClock, times: int = 1) -> None:
    for _ in range(times):
        clock.advance(1)
        watch.look()
        settle()


def settle() -> None:
    """Until the canary threads that are not held up have ended."""
    deadline = time.monotonic() + 0.05
    kinds = ("canary", "about", "deep")
    while time.monotonic() < deadline and any(t.name.startswith(kinds) for t in threading.enumerate()):
        time.sleep(0.001)  # for what may go on: a canary that a test holds up


def test_before_the_first_look_nothing_is_known(watch: Watch) -> None:
    assert watch.sighting() is None


def test_a_look_asks_for_health_and_metrics_and_sends_a_canary(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    look(watch, clock)
    assert [what for what in api.asked if what != "about"] == ["health", "metrics", "canary"]
    sighting = watch.sighting()
    assert sighting is not None
    assert (sighting.sight.values, sighting.sight.problem, sighting.canary.result) == (api.values, "", "ok")


def test_a_server_that_is_down_is_asked_for_its_health_only(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    api.answer = "refused"
    look(watch, clock, 3)
    assert [what for what in api.asked if what != "forget"] == ["health"] * 3
    sighting = watch.sighting()
    assert sighting is not None
    assert (sighting.sight.health, sighting.sight.values, sighting.sight.stalled) == ("refused", None, None)


def test_metrics_that_cannot_be_read_are_said_with_the_reason(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    look(watch, clock)
    api.problem = "GET /metrics: status 500"
    look(watch, clock)
    sighting = watch.sighting()
    assert sighting is not None
    assert (sighting.sight.values, sighting.sight.problem) == (None, "GET /metrics: status 500")


def test_families_that_are_missing_are_said_too(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    api.values = None
    look(watch, clock)
    sighting = watch.sighting()
    assert sighting is not None
    assert "no vllm: families" in sighting.sight.problem


def test_unaccepted_connections_are_counted_only_while_health_gets_no_answer(api: FakeApi, clock: FakeClock) -> None:
    asked: list[int] = []

    def unaccepted() -> int:
        asked.append(7)
        return 7

    watch = Watch("gpu1:8000", api, ProbeConfig(), True, clock, unaccepted=unaccepted)
    shown = []
    for answer in ("ok", "timeout", "refused"):
        api.answer = answer
        look(watch, clock)
        sighting = watch.sighting()
        assert sighting is not None
        shown.append(sighting.unaccepted)
    assert (shown, asked) == ([None, 7, None], [7])


def test_the_others_are_told_what_they_need(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    api.blocks = {"0": Blocks(100, 25, 74), "1": Blocks(100, 5, 94)}
    look(watch, clock, 2)
    sighting = watch.sighting()
    assert sighting is not None
    told = sighting.sight
    assert (told.health, told.stalled, told.work, told.progress_age, told.stall_limit) == ("ok", False, False, 1, 300)
    assert (told.canary_ok, told.canary_failures, told.canary_first_token) == (True, 0, 0.2)
    assert (told.model_name, told.version, told.blocks_used, told.blocks_total) == ("tiny", "0.32.0", 30, 200)


def test_a_canary_that_hangs_delays_no_look_and_is_the_only_one(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    api.canary_answers.clear()
    try:
        look(watch, clock, 4)
        assert api.asked.count("canary") == 1
        assert api.asked.count("health") == 4
        sighting = watch.sighting()
        assert sighting is not None
        assert sighting.sight.work
    finally:
        api.canary_answers.set()


def test_a_pause_is_asked_about_when_progress_stops_until_the_server_says_it_does_not_know(
    api: FakeApi, clock: FakeClock
) -> None:
    watch = Watch("gpu1:8000", api, ProbeConfig(warmup_seconds=0), canary=False, clock=clock)
    look(watch, clock)
    assert api.values is not None
    api.values = replace(api.values, running=3)
    look(watch, clock, 22)
    assert api.asked.count("pause") == 3  # at 10 s, 15 s and 20 s of silence
    api.pause_answer = PauseAnswer(None, supported=False)
    look(watch, clock, 20)
    assert api.asked.count("pause") == 4


def test_a_paused_server_gets_no_canary_at_all(api: FakeApi, clock: FakeClock) -> None:
    watch = Watch("gpu1:8000", api, ProbeConfig(warmup_seconds=0), canary=True, clock=clock)
    look(watch, clock)
    assert api.values is not None
    api.values, api.pause_answer = replace(api.values, running=3), PauseAnswer(True)
    api.asked.clear()
    look(watch, clock, 60)
    assert ("pause" in api.asked, "canary" in api.asked) == (True, False)


def test_what_is_worth_keeping_names_the_process(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    look(watch, clock)
    assert watch.memory() is None  # /metrics does not say when it began, and no process was seen
    watch.saw_process(Identity(ref=Ref(100, 5000)))
    assert watch.memory() == Memory(Identity(ref=Ref(100, 5000)), clock.now_monotonic, 0.0)
    api.started = 1_700_000_000.0
    look(watch, clock)
    kept = watch.memory()
    assert kept is not None
    assert kept.identity == Identity(1_700_000_000.0, Ref(100, 5000))


def test_a_canary_says_what_it_cost(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    look(watch, clock, 12)  # a second one after 10 s
    sighting = watch.sighting()
    assert sighting is not None
    canary = sighting.canary
    assert (canary.first_token, canary.prompt_tokens, canary.generation_tokens) == (0.2, 14, 2)


def test_version_and_models_are_asked_for_when_ready_then_every_5_minutes_and_after_a_restart(
    api: FakeApi, watch: Watch, clock: FakeClock
) -> None:
    look(watch, clock, 301)
    assert api.asked.count("about") == 2  # in the first second and in the 301st
    sighting = watch.sighting()
    assert sighting is not None
    assert sighting.about == ServerInfo("0.32.0", ("tiny",), 0.0)
    api.answer = "refused"
    look(watch, clock)
    sighting = watch.sighting()
    assert sighting is not None
    assert sighting.about == ServerInfo()
    api.answer = "ok"
    look(watch, clock)
    assert api.asked.count("about") == 3


def test_where_load_counts_it_is_asked_for_every_15_seconds(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    api.said = ServerInfo("0.32.0", ("tiny",), 3.0)
    look(watch, clock)
    clock.advance(300)
    look(watch, clock, 31)
    assert api.asked.count("about") == 4


def test_deep_probes_are_sent_only_where_allowed_and_no_longer_where_not_offered(
    api: FakeApi, watch: Watch, clock: FakeClock
) -> None:
    look(watch, clock, 40)
    assert "check_health" not in api.asked
    allowed = Watch("gpu1:8000", api, ProbeConfig(), canary=False, clock=clock, deep=True)
    api.deep_answers = {"check_health": DeepAnswer(True, 0.003)}
    look(allowed, clock, 31)
    assert (api.asked.count("check_health"), api.asked.count("is_sleeping")) == (3, 1)
    sighting = allowed.sighting()
    assert sighting is not None
    assert sighting.deep == {"check_health": DeepAnswer(True, 0.003)}


def test_changes_of_used_blocks_are_counted_up_and_down(api: FakeApi, watch: Watch, clock: FakeClock) -> None:
    for used in (10, 14, 14, 3):
        api.blocks = {"0": Blocks(100, used, 99 - used)}
        look(watch, clock)
    sighting = watch.sighting()
    assert sighting is not None
    assert sighting.traffic == {"0": BlockCounts(allocated=4, released=11)}


def test_blocks_that_went_down_with_their_server_were_not_released(
    api: FakeApi, watch: Watch, clock: FakeClock
) -> None:
    api.blocks = {"0": Blocks(100, 50, 49)}
    look(watch, clock)
    api.answer = "refused"
    look(watch, clock)
    api.answer, api.blocks = "ok", {"0": Blocks(100, 0, 99)}
    look(watch, clock)
    sighting = watch.sighting()
    assert sighting is not None
    assert sighting.traffic == {"0": BlockCounts(0, 0)}


def test_a_thread_that_died_is_started_again(api: FakeApi, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda args: died.set())
    watch = Watch("gpu1:8000", api, ProbeConfig(interval=0.01), True, clock)
    monkeypatch.setattr(api, "engine", lambda: 1 / 0)
    assert watch.start() is False
    assert died.wait(2)
    monkeypatch.undo()
    wait_for(watch.start)
    watch.wait(PATIENCE)
    watch.close()
    assert "metrics" in api.asked


def test_a_canary_that_a_defect_of_ours_ends_is_an_error_and_no_standstill(
    api: FakeApi, watch: Watch, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> tuple[CanaryResult, CanaryTokens]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(api, "canary", breaks)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    look(watch, clock)
    wait_for(lambda: (found := watch.sighting()) is not None and found.canary.result == "error")
    found = watch.sighting()
    assert found is not None
    assert found.sight.work is False

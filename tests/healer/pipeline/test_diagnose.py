"""The first detector wins; when none speaks up, the words say what was seen."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.detector import Detector
from vllm_healer.model import Diagnosis, Facts, Health, Incident, Look, ProcessRef, RunState, Signal, Signals
from vllm_healer.pipeline.diagnose import diagnose
from vllm_healer.progress import ENGINE_AGE, SILENT, SILENT_LIMIT
from vllm_healer.registry import detectors


def seen(cases: ModuleType, *names: str, **changes: object) -> Diagnosis:
    return diagnose(cases.incident(*names), cases.facts(**changes))


def test_says_how_old_its_evidence_is_and_what_was_ruled_out(cases: ModuleType) -> None:
    found = seen(cases, "VllmEngineStalled", signals=replace(cases.signals(), faults={"cuda_error": Signal(1.0, 2.0)}))
    assert (found.sample_age, found.ruled_out) == (4.0, ("orphans", "cuda_error"))
    assert found.words().endswith("in 8.0 s (samples up to 4 s old; ruled out: orphans, cuda_error)")


def test_an_unexplained_server_shows_what_it_is_not_and_no_age_of_samples_that_do_not_count(cases: ModuleType) -> None:
    found = seen(cases, "VllmEngineStalled", signals=cases.signals(age=90.0))
    assert (found.cause, found.sample_age) == ("unknown", None)
    assert {"orphans", "engine_stalled"} <= set(found.ruled_out)


def test_the_documented_order() -> None:
    ordered = ["orphans", "engine_dead", "api_server_frozen", "engine_stalled", "overload"]
    assert [name for name in detectors() if name in ordered] == ordered


def test_a_hung_server_that_looks_healthy_is_stalled(cases: ModuleType) -> None:
    assert seen(cases).cause == "engine_stalled"


def test_one_engine_of_several_that_hangs_is_told_at_the_first_look_though_another_answers(cases: ModuleType) -> None:
    """It is no cause yet: nothing is done about it before a second look."""
    signals = replace(cases.signals(progress_age=14.0, stall_limit=12.0), more={ENGINE_AGE: Signal(14.0, 4.0)})
    found = seen(cases, look=cases.WELL, signals=signals)
    assert found.cause == "none"
    assert "one of its engines has stood still for 14 s with requests of its own (limit 12 s)" in found.evidence


def test_a_frozen_api_server_is_told(cases: ModuleType) -> None:
    signals = replace(cases.signals(stalled=0.0, progress_age=1.0), more={SILENT: Signal(17.0, 4.0)})
    found = seen(cases, "VllmApiServerFrozen", look=cases.SATURATED, signals=signals)
    assert found.cause == "unknown"
    assert "one of its API servers has done nothing for 17 s: stopped, or its event loop is blocked" in found.evidence


@pytest.mark.parametrize("more", [{ENGINE_AGE: 11.0}, {SILENT: 0.4}, {}])
def test_what_is_well_inside_is_not_told(more: dict[str, float], cases: ModuleType) -> None:
    signals = replace(cases.signals(), more={name: Signal(value, 4.0) for name, value in more.items()})
    assert "one of its" not in seen(cases, look=cases.WELL, signals=signals).evidence


def test_an_old_sample_from_inside_is_no_evidence(cases: ModuleType) -> None:
    signals = replace(cases.signals(), more={SILENT: Signal(17.0, 60.0)})
    assert "one of its" not in seen(cases, look=cases.WELL, signals=signals).evidence


def test_orphans_come_before_a_dead_engine(cases: ModuleType) -> None:
    left = cases.supervisor(RunState.FATAL, orphans=(cases.ENGINE,))
    assert seen(cases, "VllmDown", look=cases.REFUSED, supervisor=left).cause == "orphans"


def test_without_orphans_it_is_a_dead_engine(cases: ModuleType) -> None:
    dead = cases.supervisor(RunState.FATAL)
    assert seen(cases, "VllmDown", look=cases.REFUSED, supervisor=dead).cause == "engine_dead"


def test_a_long_queue_on_a_hung_server_is_a_stall(cases: ModuleType) -> None:
    found = seen(cases, "VllmQueueOverload", "VllmEngineStalled", signals=cases.signals(waiting=500.0))
    assert found.cause == "engine_stalled"


def test_a_saturated_server_is_overloaded_and_not_dead(cases: ModuleType) -> None:
    busy = cases.signals(stalled=0.0, progress_age=1.0, waiting=412.0)
    assert seen(cases, "VllmDown", "VllmQueueOverload", look=cases.SATURATED, signals=busy).cause == "overload"


def test_a_server_that_nobody_listed_is_unknown(cases: ModuleType) -> None:
    problem = "gpu9:8000 is not listed in healer.yml"
    assert seen(cases, target=None, target_problem=problem) == Diagnosis("unknown", problem)


def test_a_failed_canary_while_progress_moves_is_busy(cases: ModuleType) -> None:
    found = seen(cases, "VllmCanaryFailing", signals=cases.signals(stalled=0.0, progress_age=3.0))
    assert found == Diagnosis(
        "none", "busy: no output, but an engine value, such as KV usage, changed 3 s ago (limit 30 s)"
    )


def test_two_looks_that_differ_show_that_it_is_busy(cases: ModuleType) -> None:
    before = replace(cases.HUNG, work=(120.0, 0.3, 3.0, 0.0))
    found = seen(cases, "VllmCanaryFailing", earlier=before)
    assert found == Diagnosis("none", "busy: no output, but an engine value changed while it was looked at")


def test_a_well_server_needs_nothing(cases: ModuleType) -> None:
    found = seen(cases, "HighLatency", look=cases.WELL, signals=cases.signals(stalled=0.0, progress_age=2.0))
    assert found == Diagnosis("none", "it looks well: /health is ok and the canary answered in 0.2 s")


def test_a_failed_canary_alone_proves_nothing(cases: ModuleType) -> None:
    found = seen(cases, "VllmCanaryFailing", signals=Signals(stalled=cases.signals(stalled=0.0).stalled))
    assert found == Diagnosis(
        "unknown",
        "/health is ok and the canary failed (no answer in 8 s); "
        "a canary alone proves no hang, and the exporter does not call it stalled",
    )


def test_says_that_what_prometheus_knows_is_old(cases: ModuleType) -> None:
    assert seen(cases, signals=cases.signals(age=90.0)).evidence.endswith("what Prometheus knows is 90 s old")


def test_says_that_progress_is_not_published(cases: ModuleType) -> None:
    assert seen(cases, signals=Signals()).evidence.endswith(
        "whether it is stalled is not known (its progress is not published)"
    )


def test_says_that_prometheus_is_blind(cases: ModuleType) -> None:
    found = seen(cases, signals=None, blind=("Prometheus: connection refused",))
    assert found.cause == "unknown"
    assert found.evidence.endswith("blind: Prometheus: connection refused")


def test_a_dead_engine_is_found_without_prometheus_and_the_guard_decides(cases: ModuleType) -> None:
    dead = cases.supervisor(RunState.EXITED)
    found = seen(cases, "VllmDown", look=cases.REFUSED, supervisor=dead, signals=None, blind=("Prometheus: timeout",))
    assert found.cause == "engine_dead"


def test_says_that_it_is_paused(cases: ModuleType) -> None:
    found = seen(cases, look=replace(cases.HUNG, paused=True, canary=None))
    assert (found.cause, found.evidence) == (
        "paused",
        "it is paused: someone sent /pause or /sleep, and new requests wait",
    )


def test_a_late_health_is_no_death(cases: ModuleType) -> None:
    found = seen(cases, look=cases.SATURATED, signals=cases.signals(stalled=0.0, progress_age=1.0))
    assert found.cause == "unknown"
    assert found.evidence.startswith("/health did not answer in time: a busy server is slow, not dead")


def test_a_frozen_api_server_is_no_overload_however_long_its_queue_was(cases: ModuleType) -> None:
    more = {SILENT: Signal(26.0, 4.0), SILENT_LIMIT: Signal(20.0, 4.0)}
    signals = replace(cases.signals(stalled=0.0, progress_age=1.0, waiting=412.0), more=more)
    deaf = Look(Health.TIMEOUT, None, None, None)
    given = {"look": deaf, "signals": signals, "was_ready": True}
    assert seen(cases, "VllmApiServerFrozen", "VllmQueueOverload", **given).cause == "api_server_frozen"


def test_a_strange_answer_is_unknown(cases: ModuleType) -> None:
    found = seen(cases, look=replace(cases.HUNG, health=Health.OTHER))
    assert found.evidence == "/health answered neither 200 nor 503: a proxy, or not vLLM"


def test_a_server_that_says_that_it_scales_is_left_alone(cases: ModuleType) -> None:
    """vllm-project/vllm#20775: for 40 to 55 s every path answers 503 with these words."""
    found = seen(cases, "VllmDown", look=Look(Health.SCALING, None, None, None), was_ready=True)
    assert found == Diagnosis("none", "it says that it scales: it answers every request with 503 until it has")


def test_the_word_of_a_proxy_is_shown_and_believed_in_nothing(cases: ModuleType) -> None:
    page = Look(Health.GATEWAY, None, None, None, detail="HTTP 503: '<html>no server is available'")
    found = seen(cases, "VllmDown", look=page, was_ready=True)
    answered = "/health is answered by another (HTTP 503: '<html>no server is available')"
    words = f"{answered}: a proxy's word is not vLLM's; let `url` name the server itself"
    assert found == Diagnosis("unknown", words)


def test_a_name_that_does_not_resolve_while_the_process_runs_is_unknown(cases: ModuleType) -> None:
    found = seen(cases, "VllmDown", look=Look(Health.UNREACHABLE, None, None, None), was_ready=True)
    words = "/health is unreachable while the supervisor says running: nothing is concluded from it"
    assert found == Diagnosis("unknown", words)


def test_a_server_on_its_way_out_is_looked_at_again(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmDown", age=2.0), cases.facts(look=cases.UNAVAILABLE))
    words = "/health is 503 while the supervisor says running: it may be on its way out; looking again"
    assert found == Diagnosis("unknown", words)


def test_an_exit_that_the_supervisor_repairs_is_looked_at_again(cases: ModuleType) -> None:
    ended = cases.supervisor(RunState.EXITED, restarts_itself=True)
    found = diagnose(cases.incident("VllmDown", age=2.0), cases.facts(look=cases.REFUSED, supervisor=ended))
    words = "/health is refused: it exited, and its supervisor restarts what exits"
    assert found == Diagnosis("unknown", words)


def test_a_pooling_server_that_moves_is_well(cases: ModuleType) -> None:
    pooling = replace(cases.HUNG, canary=cases.NOT_APPLICABLE)
    found = seen(cases, look=pooling, signals=cases.signals(stalled=0.0, progress_age=2.0))
    assert found.cause == "none"
    assert seen(cases, look=pooling).cause == "unknown"


def test_nothing_read_is_unknown(cases: ModuleType) -> None:
    assert diagnose(cases.incident(), Facts(now=cases.NOW, target=cases.TARGET)) == Diagnosis(
        "unknown", "the server was not looked at"
    )


class _Broken(Detector):
    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        raise KeyError("model_name")


class _Eager(Detector):
    def detect(self, incident: Incident, facts: Facts) -> Diagnosis | None:
        pytest.fail("asked after a detector that failed")


def test_a_detector_that_fails_ends_the_diagnosis(cases: ModuleType) -> None:
    found = diagnose(cases.incident(), cases.facts(), {"broken": _Broken(), "eager": _Eager()})
    words = "detector broken failed (KeyError: 'model_name'), so nothing is concluded"
    assert found == Diagnosis("unknown", words)


STRANGER = ProcessRef(3000, 50_000, "api_server", "vllm serve m")
OF_ANOTHER = (
    "what answers may not be the supervised server: pid 3000 listens on its port, and its supervisor did not start it"
)


def test_a_hang_of_a_server_that_the_supervisor_did_not_start_is_for_a_person(cases: ModuleType) -> None:
    """A restart would start a second one beside it, which cannot have the port."""
    found = seen(cases, supervisor=cases.supervisor(RunState.FATAL, stranger=STRANGER))
    assert found.cause == "unknown"
    assert found.evidence.startswith("no engine value changed for 45 s")
    assert found.evidence.endswith(f"; but {OF_ANOTHER}: end that one, or leave the port to it")


def test_a_server_that_the_supervisor_did_not_start_and_that_is_well_is_named(cases: ModuleType) -> None:
    well = {"look": cases.WELL, "signals": cases.signals(stalled=0.0)}
    found = seen(cases, supervisor=cases.supervisor(RunState.FATAL, stranger=STRANGER), **well)
    assert (found.cause, found.evidence) == (
        "none",
        f"it looks well: /health is ok and the canary answered in 0.2 s; {OF_ANOTHER}",
    )


def test_orphans_are_reaped_whoever_has_the_port(cases: ModuleType) -> None:
    left = cases.supervisor(RunState.FATAL, stranger=STRANGER, orphans=(cases.ENGINE,))
    assert seen(cases, supervisor=left).cause == "orphans"


def test_overload_is_overload_whoever_has_the_port(cases: ModuleType) -> None:
    busy = cases.signals(stalled=0.0, progress_age=1.0, waiting=412.0)
    found = seen(cases, look=cases.WELL, signals=busy, supervisor=cases.supervisor(stranger=STRANGER))
    assert found.cause == "overload"

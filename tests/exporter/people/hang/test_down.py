"""Servers that nobody can reach: what is left of them, whether they start, and what the exporter knows of them."""

from __future__ import annotations

from vllm_exporter.people.hang.diagnose import Diagnosis, diagnose
from vllm_exporter.people.hang.evidence import HangEvidence, LifeState, ProcessSight

API = ProcessSight(10, "api_server", state="S")
ENGINE = ProcessSight(11, "engine_core", state="S")
LEFT = (ProcessSight(11, "engine_core", orphan=True), ProcessSight(12, "worker", "TP0", orphan=True))
LOADS = LifeState("weights_loading", 34.0, "starting", "Weights are read into memory.", "Look at the disk.")
LOOPS = LifeState("crash_loop", 12.4, "down", "It failed again and again.", "Stop restarting it.")


def down(**facts: object) -> Diagnosis:
    return diagnose(HangEvidence("gpu1:8000", "refused", **facts))  # type: ignore[arg-type] # names and types are the test's


def test_without_any_process_it_is_not_running() -> None:
    diagnosis = down()
    assert (diagnosis.finding.cause, diagnosis.cause.hang) == ("not_running", True)
    assert diagnosis.finding.evidence == ("connection refused",)


def test_the_state_of_a_server_that_is_down_says_why_and_what_to_do_first() -> None:
    diagnosis = down(state=LOOPS)
    assert diagnosis.finding.cause == "not_running"
    assert (
        diagnosis.finding.evidence[1] == "state seen by the exporter: crash loop for 12 s: It failed again and again."
    )
    assert diagnosis.advice[0] == "Stop restarting it."
    assert diagnosis.advice[1].startswith("Look at the end of its log")


def test_a_start_is_no_hang_and_its_phase_is_told() -> None:
    diagnosis = down(state=LOADS, processes=(API, ENGINE))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty, diagnosis.cause.hang) == (
        "starting",
        "certain",
        False,
    )
    assert diagnosis.finding.evidence == (
        "connection refused",
        "state seen by the exporter: weights loading for 34 s: Weights are read into memory.",
        "api server (pid 10) is there",
    )
    assert diagnosis.advice == ("Look at the disk.",)


def test_without_an_exporter_a_process_that_does_not_listen_likely_starts() -> None:
    diagnosis = down(processes=(API,))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty) == ("starting", "likely")
    assert diagnosis.advice == ("Wait; look at the end of its log if it takes longer than usual.",)


def test_a_process_does_not_make_a_start_of_what_the_exporter_says_has_failed() -> None:
    assert down(state=LOOPS, processes=(API,)).finding.cause == "not_running"


def test_what_an_api_server_left_behind_is_named_with_its_process_ids() -> None:
    diagnosis = down(processes=LEFT, orphans=2)
    assert (diagnosis.finding.cause, diagnosis.cause.hang) == ("left_over_processes", True)
    assert diagnosis.finding.evidence == (
        "connection refused",
        "left behind: engine core (pid 11)",
        "left behind: worker TP0 (pid 12)",
    )
    assert diagnosis.advice[0].startswith("End them: kill <pid> of each")


def test_left_over_processes_that_only_the_exporter_can_see_are_counted() -> None:
    assert down(orphans=9).finding.evidence == ("connection refused", "9 processes were left behind")


def test_a_start_beside_left_over_processes_is_told_of_them() -> None:
    diagnosis = down(state=LOADS, processes=(API, *LEFT), orphans=2)
    assert diagnosis.finding.cause == "starting"
    assert "left behind: worker TP0 (pid 12)" in diagnosis.finding.evidence
    assert diagnosis.advice[0].startswith("End the processes that were left behind")


def test_a_left_over_process_that_is_stopped_is_left_over() -> None:
    stopped = ProcessSight(11, "engine_core", state="T", orphan=True)
    assert down(processes=(stopped,), orphans=1).finding.cause == "left_over_processes"


def test_left_over_processes_are_no_matter_of_a_server_that_answers() -> None:
    answers = HangEvidence("gpu1:8000", "ok", canary="ok", processes=LEFT, orphans=2)
    assert diagnose(answers).finding.cause == "unreadable"  # as without them
    assert answers.workers == ()

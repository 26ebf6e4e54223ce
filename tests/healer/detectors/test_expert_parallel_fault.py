"""Expert parallel fault: named, with what a person does, on a server that answers and does not hang."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.expert_parallel_fault import ExpertParallelFault
from vllm_healer.model import Diagnosis, Facts
from vllm_healer.pipeline.diagnose import diagnose


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return ExpertParallelFault().detect(cases.incident("VllmDown"), facts)


def test_names_the_trouble_of_a_server_that_answers(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmCanaryFailing"), cases.lives_with("expert_parallel_fault"))
    assert found.cause == "expert_parallel_fault"
    assert found.advice == ExpertParallelFault.person
    assert not ExpertParallelFault.destructive_may_help


def test_is_quiet_when_no_alert_tells_of_it(cases: ModuleType) -> None:
    """It says that it scales: that is no fault."""
    assert detect(cases, cases.lives_with("something_else")) is None
    assert detect(cases, cases.lives_with("expert_parallel_fault", age=15.1)) is None


def test_a_server_that_hangs_is_no_such_trouble(cases: ModuleType) -> None:
    assert (
        diagnose(cases.incident("VllmEngineStalled"), cases.hangs_by("expert_parallel_fault")).cause == "engine_stalled"
    )


def test_a_server_that_is_down_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.died_of("expert_parallel_fault")).cause == "engine_dead"

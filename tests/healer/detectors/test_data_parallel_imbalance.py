"""Data-parallel imbalance: named, with what a person does, on a server that answers and does not hang."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.data_parallel_imbalance import DataParallelImbalance
from vllm_healer.model import Diagnosis, Facts
from vllm_healer.pipeline.diagnose import diagnose


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return DataParallelImbalance().detect(cases.incident("VllmDown"), facts)


def test_names_the_trouble_of_a_server_that_answers(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmCanaryFailing"), cases.lives_with("data_parallel_imbalance"))
    assert found.cause == "data_parallel_imbalance"
    assert found.advice == DataParallelImbalance.person
    assert not DataParallelImbalance.destructive_may_help


def test_is_quiet_when_no_alert_tells_of_it(cases: ModuleType) -> None:
    """One engine stands still."""
    assert detect(cases, cases.lives_with("something_else")) is None
    assert detect(cases, cases.lives_with("data_parallel_imbalance", age=15.1)) is None


def test_a_server_that_hangs_is_no_such_trouble(cases: ModuleType) -> None:
    assert (
        diagnose(cases.incident("VllmEngineStalled"), cases.hangs_by("data_parallel_imbalance")).cause
        == "engine_stalled"
    )


def test_a_server_that_is_down_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.died_of("data_parallel_imbalance")).cause == "engine_dead"

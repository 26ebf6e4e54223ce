"""Structured output: named, with what a person does, on a server that answers and does not hang."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.structured_output import StructuredOutput
from vllm_healer.model import Diagnosis, Facts
from vllm_healer.pipeline.diagnose import diagnose


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return StructuredOutput().detect(cases.incident("VllmDown"), facts)


def test_names_the_trouble_of_a_server_that_answers(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmCanaryFailing"), cases.lives_with("structured_output"))
    assert found.cause == "structured_output"
    assert found.advice == StructuredOutput.person
    assert not StructuredOutput.destructive_may_help


def test_is_quiet_when_no_alert_tells_of_it(cases: ModuleType) -> None:
    """One bad grammar, which is its client's fault."""
    assert detect(cases, cases.lives_with("something_else")) is None
    assert detect(cases, cases.lives_with("structured_output", age=15.1)) is None


def test_a_server_that_hangs_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmEngineStalled"), cases.hangs_by("structured_output")).cause == "engine_stalled"


def test_a_server_that_is_down_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.died_of("structured_output")).cause == "engine_dead"

"""KV overflow: named, with what a person does, on a server that answers and does not hang."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.kv_overflow import KvOverflow
from vllm_healer.model import Diagnosis, Facts
from vllm_healer.pipeline.diagnose import diagnose


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return KvOverflow().detect(cases.incident("VllmDown"), facts)


def test_names_the_trouble_of_a_server_that_answers(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmCanaryFailing"), cases.lives_with("kv_overflow"))
    assert found.cause == "kv_overflow"
    assert found.advice == KvOverflow.person
    assert not KvOverflow.destructive_may_help


def test_is_quiet_when_no_alert_tells_of_it(cases: ModuleType) -> None:
    """A cache that is full and throws nothing out."""
    assert detect(cases, cases.lives_with("something_else")) is None
    assert detect(cases, cases.lives_with("kv_overflow", age=15.1)) is None


def test_a_server_that_hangs_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmEngineStalled"), cases.hangs_by("kv_overflow")).cause == "engine_stalled"


def test_a_server_that_is_down_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.died_of("kv_overflow")).cause == "engine_dead"

"""Host memory leak: named, with what a person does, on a server that answers and does not hang."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.host_memory_leak import HostMemoryLeak
from vllm_healer.model import Diagnosis, Facts
from vllm_healer.pipeline.diagnose import diagnose


def detect(cases: ModuleType, facts: Facts) -> Diagnosis | None:
    return HostMemoryLeak().detect(cases.incident("VllmDown"), facts)


def test_names_the_trouble_of_a_server_that_answers(cases: ModuleType) -> None:
    found = diagnose(cases.incident("VllmCanaryFailing"), cases.lives_with("host_memory_leak"))
    assert found.cause == "host_memory_leak"
    assert found.advice == HostMemoryLeak.person
    assert not HostMemoryLeak.destructive_may_help


def test_is_quiet_when_no_alert_tells_of_it(cases: ModuleType) -> None:
    """A cache of files that is given back when somebody needs the memory."""
    assert detect(cases, cases.lives_with("something_else")) is None
    assert detect(cases, cases.lives_with("host_memory_leak", age=15.1)) is None


def test_a_server_that_hangs_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmEngineStalled"), cases.hangs_by("host_memory_leak")).cause == "engine_stalled"


def test_a_server_that_is_down_is_no_such_trouble(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.died_of("host_memory_leak")).cause == "engine_dead"

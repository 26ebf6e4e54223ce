"""GPU fault: what dies or hangs of it is not restarted on the same GPU; what a program's own XID kills is."""

from __future__ import annotations

from types import ModuleType

from vllm_healer.detectors.gpu_fault import GpuFault
from vllm_healer.pipeline.diagnose import diagnose


def test_a_death_and_a_hang_on_a_faulty_gpu_are_left_to_a_person(cases: ModuleType) -> None:
    for facts in (cases.died_of("gpu_fault"), cases.hangs_by("gpu_fault")):
        found = diagnose(cases.incident("VllmDown", "VllmEngineStalled"), facts)
        assert found.cause == "gpu_fault"
        assert found.advice == GpuFault.person
    assert not GpuFault.destructive_may_help


def test_a_program_s_own_xid_is_no_fault_of_the_gpu(cases: ModuleType) -> None:
    """XID 13 or 31: the context is lost, the GPU is well, and a restart helps."""
    assert diagnose(cases.incident("VllmDown"), cases.died_of("cuda_error")).cause == "cuda_error"


def test_a_server_that_serves_on_a_gpu_that_once_failed_is_left_alone(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.lives_with("gpu_fault")).cause == "none"


def test_an_old_sample_keeps_nobody_from_being_healed(cases: ModuleType) -> None:
    assert diagnose(cases.incident("VllmDown"), cases.died_of("gpu_fault", age=15.1)).cause == "engine_dead"

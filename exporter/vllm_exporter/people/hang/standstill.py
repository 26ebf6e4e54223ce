"""Rules for a server that has work and does not move. They use GPUs, processes, stacks and the log. Pure."""

from __future__ import annotations

from vllm_exporter.people.hang.evidence import HangEvidence
from vllm_exporter.people.hang.finding import (
    BUSY,
    SPINS,
    Certainty,
    Finding,
    cpu_words,
    gpus_busy,
    orphan_words,
    past_limit,
    requests,
)
from vllm_exporter.people.hang.moving import FULL

EXHAUSTED = 0.99  # share of a GPU's memory: vLLM itself stops at --gpu-memory-utilization, 0.92 by default
IDLE = 0.05  # utilization of a GPU: in a collective some spin, and others have nothing to do

COLLECTIVE = ("nccl", "all_reduce", "allreduce", "all_gather", "barrier", "ProcessGroup", "gloo", "c10d")
DRIVER = ("nvidia", "uvm_", "amdgpu", "kfd_", "rm_ioctl", "os_acquire")
ON_GPU = ("synchronize", "cudaStream", "hipStream", "cuda.py", "item (", "tolist (")
NO_MEMORY = ("outofmemoryerror", "out of memory")
NCCL_SIGNS = ("watchdog caught collective", "nccl error", "no available shared memory broadcast block", "worknccl")


def gpu_memory(seen: HangEvidence) -> Finding | None:
    lines = [line for line in seen.log if any(sign in line.lower() for sign in NO_MEMORY)]
    full = [gpu for gpu in seen.gpus if (gpu.memory or 0) >= EXHAUSTED]
    if not lines and not full:
        return None
    said = [f"GPU {gpu.gpu_id}: memory {gpu.memory or 0:.1%} used" for gpu in full]
    said += orphan_words(seen)
    return Finding("gpu_memory_exhausted", "likely" if lines else "possible", (_still(seen), *said, *lines[-2:]))


def collective(seen: HangEvidence) -> Finding | None:
    """Finds signs in the log, frames of a collective, or some GPUs spinning while others have nothing to do."""
    lines = [line for line in seen.log if any(sign in line.lower() for sign in NCCL_SIGNS)]
    waiting = [one for one in seen.workers if _has(one.python, COLLECTIVE)]
    split = _split(seen)
    if len(seen.workers) < 2 and len(seen.gpus) < 2 and not lines:
        return None
    if not lines and not waiting and not split:
        return None
    said = [f"{one.name} is in {_first(one.python, COLLECTIVE)}" for one in waiting]
    return Finding("collective_hang", "likely", tuple(filter(None, (_still(seen), split, *said, *lines[-2:]))))


def kernel(seen: HangEvidence) -> Finding | None:
    """Finds a process that waits in the driver, a GPU at full use without progress, or a thread that waits for one."""
    said = [f"GPU {gpu.gpu_id} has fallen off the bus" for gpu in seen.gpus if gpu.lost]
    for one in seen.workers:
        inside = _first((one.wchan, *one.kernel), DRIVER)
        if one.state == "D":
            said.append(f"{one.name} is in state D (uninterruptible) in {one.wchan or 'the kernel'}")
        elif inside:
            said.append(f"{one.name} waits in {inside}")
        elif seen.gpus and _has(one.python, ON_GPU):
            said.append(f"{one.name} is in {_first(one.python, ON_GPU)}")
    if gpus_busy(seen):
        said.append("all GPUs are fully used, but the engine makes no progress")
    return Finding("kernel_stall", "likely", (_still(seen), *said)) if said else None


def scheduler(seen: HangEvidence) -> Finding | None:
    last = seen.last
    if last is None or last.running or not last.waiting or (last.kv_usage or 0) >= FULL:
        return None
    if any((one.cpu or 0) >= SPINS for one in seen.workers):
        return None
    sure: Certainty = "likely" if seen.engine_answers is not False else "possible"
    answers = "the engine answers a deep probe" if seen.engine_answers else ""
    room = f"KV cache {last.kv_usage or 0:.0%} full"
    return Finding("scheduler_deadlock", sure, tuple(filter(None, (_still(seen), requests(seen), room, answers))))


def stuck(seen: HangEvidence) -> Finding | None:
    deep = "the engine does not answer a deep probe" if seen.engine_answers is False else ""
    canary = f"a test request got no answer in {seen.canary_seconds:.0f} s" if seen.canary == "timeout" else ""
    where = [f"{one.name}: {one.python[0]}" for one in seen.processes if one.python and one.role != "api_server"]
    said = (_still(seen), requests(seen), deep, canary, *where, *cpu_words(seen, "engine_core"))
    return Finding("engine_stuck", "likely" if past_limit(seen) else "possible", tuple(filter(None, said)))


def _still(seen: HangEvidence) -> str:
    return f"no value of the engine moved for {seen.still_seconds:.0f} s"


def _split(seen: HangEvidence) -> str:
    busy = [gpu.gpu_id for gpu in seen.gpus if (gpu.utilization or 0) >= BUSY]
    idle = [gpu.gpu_id for gpu in seen.gpus if gpu.utilization is not None and gpu.utilization <= IDLE]
    if not busy or not idle:
        return ""
    return f"GPUs {', '.join(busy)} are fully used, {', '.join(idle)} do nothing"


def _has(frames: tuple[str, ...], signs: tuple[str, ...]) -> bool:
    return bool(_first(frames, signs))


def _first(frames: tuple[str, ...], signs: tuple[str, ...]) -> str:
    """Returns the innermost frame with one of the signs; '' when there is none."""
    return next((frame for frame in frames if any(sign.lower() in frame.lower() for sign in signs)), "")

"""Kernel stall: a step did not end in time: a kernel that never returns, or a worker that does not answer."""

from __future__ import annotations

from vllm_healer.detectors._reasons import DEATHS, HANGS, Reason


class KernelStall(Reason):
    """Explains a death or a hang; a restart helps once, and what a person does keeps it from coming again."""

    finds = (*DEATHS, *HANGS)
    destructive_may_help = True
    broken = "a step did not end in time, so a kernel or a worker hangs"
    person = (
        "when it comes again with the same flags, switch the feature off: --no-async-scheduling, another "
        "attention backend, no speculative decoding"
    )

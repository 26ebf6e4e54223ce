"""GPU memory exhausted: GPU memory ran out in a step, and the process with it."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Reason


class GpuMemoryExhausted(Reason):
    """Explains a death; a restart helps once, and what a person does keeps it from coming again."""

    destructive_may_help = True
    broken = "GPU memory ran out while it served"
    person = (
        "lower --gpu-memory-utilization by 0.02 to 0.05, --max-num-batched-tokens or --max-logprobs, and find the "
        "request that took it"
    )

"""Start out of GPU memory: weights, the profiled peak and a KV cache for one request do not fit together."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class StartOutOfGpuMemory(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "GPU memory does not suffice for its start"
    person = (
        "look who else has the GPU (`nvidia-smi`), then lower --max-model-len, --max-num-seqs or, where another "
        "shares it, --gpu-memory-utilization"
    )

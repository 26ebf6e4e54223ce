"""CUDA error: an illegal memory access, a launch failure or an assertion cost the GPU's context."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Reason


class CudaError(Reason):
    """Explains a death; a restart helps once, and what a person does keeps it from coming again."""

    destructive_may_help = True
    broken = "it lost the context of its GPU by an illegal memory access, a launch failure or an assertion"
    person = (
        "keep its log; when it comes again, try another attention backend or --enforce-eager, and look for the "
        "GPU's XIDs"
    )

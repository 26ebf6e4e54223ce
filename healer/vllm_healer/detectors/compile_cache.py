"""Compile cache: kernels could not be compiled, or the cache of compiled ones is damaged."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class CompileCache(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "its kernels cannot be compiled, or the cache of compiled ones is damaged"
    person = (
        "move ~/.cache/vllm/torch_compile_cache (VLLM_CACHE_ROOT) aside and start it; then give each server a "
        "cache of its own"
    )

"""OOM kill: the kernel ended one of its processes for lack of host memory."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Reason


class OomKill(Reason):
    """Explains a death; a restart helps once, and what a person does keeps it from coming again."""

    destructive_may_help = True
    broken = "the kernel killed one of its processes for lack of memory"
    person = (
        "give it more memory, or less to hold: --mm-processor-cache-gb, KV offload, fewer API servers; a restart "
        "alone comes back to this"
    )

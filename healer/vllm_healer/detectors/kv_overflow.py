"""KV overflow: the KV cache is full, and requests are thrown out and computed again."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class KvOverflow(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "its KV cache is full, and requests are computed again and again"
    person = "send it less, or lower --max-num-seqs; a restart empties the cache and makes it worse"

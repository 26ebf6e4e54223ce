"""Corrupt output: answers have NaN in their logits: 200, and nonsense."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class CorruptOutput(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "it answers with garbage"
    person = (
        "take it out of the load and reset its prefix cache; still garbage: restart it; again: look at the GPU's memory"
    )

"""Structured output: grammars fail or stall in numbers."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class StructuredOutput(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "structured output fails again and again"
    person = (
        "find the schema that its log names and block it at the proxy, or take the other backend of "
        "--structured-outputs-config; set max_tokens"
    )

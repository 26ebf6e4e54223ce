"""Configuration: a flag or a configuration is wrong, so that each start ends within seconds."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class Configuration(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "vLLM refuses its configuration"
    person = "correct what its log names; for a model that is too long it names the greatest --max-model-len that fits"

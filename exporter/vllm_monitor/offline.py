"""An offline vLLM engine whose requests are counted: vLLM loads no plug-in of statistics there."""

from __future__ import annotations

import time
from typing import Any

from vllm_monitor import vllm_metrics


class InstrumentedLLMEngine:
    """Wraps a `vllm.LLM`: `generate` counts each request, everything else is the engine's own."""

    def __init__(self, llm: Any, metrics: vllm_metrics.VLLMMetrics | None = None) -> None:
        self.llm = llm
        self._metrics = metrics or vllm_metrics.metrics

    def __getattr__(self, name: str) -> Any:
        return getattr(self.llm, name)

    def generate(self, prompts: Any, sampling_params: Any = None, **options: Any) -> Any:
        """Returns what the engine's `generate` returns. An exception counts as one failed request and is raised."""
        began = time.perf_counter()
        try:
            outputs = self.llm.generate(prompts, sampling_params, **options)
        except BaseException:
            self._metrics.record_request(time.perf_counter() - began, "error", 0, None)
            raise
        seconds = time.perf_counter() - began
        for output in outputs:
            own = getattr(output, "metrics", None)
            self._metrics.record_request(_latency(own, seconds), "success", _tokens(output), first_token(own))
        return outputs


def _tokens(output: Any) -> int:
    return sum(len(getattr(one, "token_ids", ())) for one in getattr(output, "outputs", ()))


def _latency(own: Any, seconds: float) -> float:
    """Returns the request's own seconds where vLLM says them, else those of the whole call."""
    first, last = getattr(own, "first_token_ts", None), getattr(own, "last_token_ts", None)  # V1
    until_first = first_token(own)
    if first and last and until_first is not None:
        return float(until_first + last - first)
    arrived, finished = getattr(own, "arrival_time", None), getattr(own, "finished_time", None)  # V0
    return float(finished - arrived) if arrived and finished else seconds


def first_token(own: Any) -> float | None:
    """Returns the seconds to the first token, or None where vLLM does not say them."""
    latency = getattr(own, "first_token_latency", None)
    if latency:
        return float(latency)
    arrived, first = getattr(own, "arrival_time", None), getattr(own, "first_token_time", None)
    return float(first - arrived) if arrived and first else None

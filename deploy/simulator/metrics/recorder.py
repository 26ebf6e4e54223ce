"""Turns engine steps and HTTP requests into numbers. Only steps move the engine's gauges, so they freeze in a hang."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.simulator.engine.model import EngineOptions, Finished, StepResult
from deploy.simulator.metrics.registry import Registry

# Not counted in http_*: what probes and scrapers ask.
UNCOUNTED = frozenset({"/metrics", "/health", "/load", "/ping", "/version", "/server_info"})

SLEEP_STATES = ("awake", "weights_offloaded", "discard_all")


class Recorder:
    """Writes what happened into a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._iterations = registry.histogram("vllm:iteration_tokens_total")
        self._gaps = registry.histogram("vllm:inter_token_latency_seconds")
        self._first = registry.histogram("vllm:time_to_first_token_seconds")
        self.sleep_state("awake")

    def step(self, result: StepResult) -> None:
        self._gauges(result)
        self._add("vllm:prefix_cache_queries_total", result.prefix_queries)
        self._add("vllm:prefix_cache_hits_total", result.prefix_hits)
        self._add("vllm:num_preemptions_total", result.preemptions)
        if result.has_output:
            self._tokens(result)
        for finished in result.finished:
            self._finished(finished)

    def sleep_state(self, state: str) -> None:
        """'' is level 0: paused, and none of the three."""
        for name in SLEEP_STATES:
            self._registry.number("vllm:engine_sleep_state", name).value = float(name == state)

    def http(self, handler: str, method: str, status: int, seconds: float, sent: int, received: int) -> None:
        """One answered request; `handler` is its route, or 'none'."""
        if handler in UNCOUNTED:
            return
        registry = self._registry
        registry.number("http_requests_total", handler, method, f"{status // 100}xx").value += 1
        registry.summary("http_request_size_bytes", handler).observe(received)
        registry.summary("http_response_size_bytes", handler).observe(sent)
        registry.histogram("http_request_duration_highr_seconds").observe(seconds)
        registry.histogram("http_request_duration_seconds", handler, method).observe(seconds)

    def _gauges(self, result: StepResult) -> None:
        gauges, number = result.gauges, self._registry.number
        number("vllm:num_requests_running").value = gauges.running
        number("vllm:num_requests_waiting").value = gauges.waiting + gauges.deferred
        number("vllm:num_requests_waiting_by_reason", "capacity").value = gauges.waiting
        number("vllm:num_requests_waiting_by_reason", "deferred").value = gauges.deferred
        number("vllm:kv_cache_usage_perc").value = gauges.kv_usage

    def _tokens(self, result: StepResult) -> None:
        computed, cached = result.computed_prompt_tokens, result.cached_prompt_tokens
        self._iterations.observe(computed + len(result.new_tokens))
        self._add("vllm:prompt_tokens_total", computed + cached)
        self._add("vllm:prompt_tokens_by_source_total", computed, "local_compute")
        self._add("vllm:prompt_tokens_by_source_total", cached, "local_cache_hit")
        self._add("vllm:prompt_tokens_cached_total", cached)
        self._add("vllm:prompt_tokens_cached_by_source_total", cached, "device")
        self._add("vllm:generation_tokens_total", len(result.new_tokens))
        for seconds in result.first_tokens:
            self._first.observe(seconds)
        for seconds in result.gaps:
            self._gaps.observe(seconds)

    def _finished(self, finished: Finished) -> None:
        self._registry.number("vllm:request_success_total", finished.reason).value += 1
        for name, value in _observations(finished).items():
            self._registry.histogram(name).observe(value)

    def _add(self, name: str, amount: float, *values: str) -> None:
        if amount:
            self._registry.number(name, *values).value += amount


def cache_labels(options: EngineOptions) -> Mapping[str, str]:
    """Returns the labels of vllm:cache_config_info that depend on the options."""
    tokens = options.num_gpu_blocks * options.block_size
    return {
        "block_size": str(options.block_size),
        "effective_attention_block_size": str(options.block_size),
        "enable_prefix_caching": str(options.enable_prefix_caching),
        "kv_cache_max_concurrency": str(tokens / options.max_model_len),
        "kv_cache_size_tokens": str(tokens),
        "num_gpu_blocks": str(options.num_gpu_blocks),
    }


def _observations(finished: Finished) -> dict[str, float]:
    return {
        "vllm:request_prompt_tokens": finished.prompt_tokens,
        "vllm:request_generation_tokens": finished.generation_tokens,
        "vllm:request_max_num_generation_tokens": finished.generation_tokens,
        "vllm:request_params_n": 1,
        "vllm:request_params_max_tokens": finished.max_tokens,
        "vllm:request_time_per_output_token_seconds": finished.per_output_token,
        "vllm:e2e_request_latency_seconds": finished.e2e,
        "vllm:request_queue_time_seconds": finished.queued,
        "vllm:request_inference_time_seconds": finished.inference,
        "vllm:request_prefill_time_seconds": finished.prefill,
        "vllm:request_decode_time_seconds": finished.decode,
        "vllm:request_num_preemptions": finished.preemptions,
        "vllm:request_prefill_kv_computed_tokens": finished.prompt_tokens - finished.cached_tokens,
    }

"""What `record` is given, by release: the attributes that vLLM's classes had, from their sources at these tags."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

# Attributes of SchedulerStats and IterationStats that are read here; in 0.11.0 and before plug-ins are not loaded,
# but a program can hand its stat logger to AsyncLLM.
ERAS = ("0.8.5", "0.10.2", "0.11.1", "0.16.0", "0.20.0", "0.32.0")


def scheduler(era: str) -> Any:
    stats = SimpleNamespace(
        num_running_reqs=3,
        num_waiting_reqs=2,
        prefix_cache_stats=SimpleNamespace(reset=False, requests=2, queries=100, hits=60),
        spec_decoding_stats=SimpleNamespace(num_drafts=4, num_draft_tokens=12, num_accepted_tokens=7),
    )
    if newer(era, "0.9.2"):
        stats.kv_cache_usage = 0.5
    else:
        stats.gpu_cache_usage = 0.5
    if newer(era, "0.11.1"):
        stats.running_lora_adapters, stats.waiting_lora_adapters = {"sql": 2}, {"chat": 1}
    return stats


def iteration(era: str) -> Any:
    gaps = "inter_token_latencies_iter" if newer(era, "0.10.2") else "time_per_output_tokens_iter"
    stats = SimpleNamespace(
        iteration_timestamp=1_800_000_000.0,
        num_generation_tokens=3,
        num_preempted_reqs=1,
        finished_requests=[finished(era)],
        time_to_first_tokens_iter=[0.02],
        **{gaps: [0.004, 0.006]},
    )
    if newer(era, "0.16.0"):
        stats.prompt_token_stats = SimpleNamespace(computed=40, local_cache_hit=60, total=100)
        stats.num_prompt_tokens = 100
    else:
        stats.num_prompt_tokens = 100
    return stats


def finished(era: str) -> Any:
    request = SimpleNamespace(
        finish_reason=Reason("stop"),
        e2e_latency=1.5,
        num_prompt_tokens=100,
        num_generation_tokens=30,
        queued_time=0.2,
        prefill_time=0.05,
        inference_time=1.25,
        decode_time=1.2,
    )
    if newer(era, "0.20.0"):
        request.request_id = "cmpl-1"
    return request


class Reason:
    """As vLLM's FinishReason: an enumeration that prints its word."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __str__(self) -> str:
        return self.word


def newer(era: str, than: str) -> bool:
    return [int(part) for part in era.split(".")] >= [int(part) for part in than.split(".")]

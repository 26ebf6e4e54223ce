"""Parallelism: sizes, who holds the others up, and what the in-process part says of steps."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

_RANK = ("server", "rank")

RANK_STRAGGLER = Family(
    "vllm_rank_straggler", "gauge", "1 if the rank holds its peers up, else 0; of servers with several ranks.", _RANK
)
RANK_STRAGGLER_INFO = Family(
    "vllm_rank_straggler_info",
    "gauge",
    "Always 1; why the rank is a straggler (stopped, blocked, starved, little_cpu, slow_steps).",
    (*_RANK, "reason"),
)
RANK_STOPPED_RATIO = Family(
    "vllm_rank_stopped_ratio",
    "gauge",
    "Share of the looks of the last 30 s, 0 to 1, at which the rank's process was stopped (state T).",
    _RANK,
)
RANK_RUN_DELAY_SECONDS_TOTAL = Family(
    "vllm_rank_run_delay_seconds_total",
    "counter",
    "Seconds that the main thread of the rank's process was ready to run and waited for a CPU.",
    _RANK,
)
RANK_STEPS_TOTAL = Family("vllm_rank_steps_total", "counter", "Model steps of the rank, as it counts them.", _RANK)
RANK_STEP_SECONDS_TOTAL = Family(
    "vllm_rank_step_seconds_total", "counter", "Seconds that the rank spent in model steps.", _RANK
)
RANK_COMPUTE_SECONDS_TOTAL = Family(
    "vllm_rank_compute_seconds_total", "counter", "Seconds of its steps that the rank computed.", _RANK
)
RANK_SYNC_SECONDS_TOTAL = Family(
    "vllm_rank_sync_seconds_total", "counter", "Seconds of its steps that the rank waited for other ranks.", _RANK
)
STEP_SKEW_RATIO = Family(
    "vllm_step_skew_ratio",
    "gauge",
    "How much longer the slowest rank's step takes than the median one's, as a share, over the last 30 s.",
    ("server",),
)
PARALLEL_EFFICIENCY_RATIO = Family(
    "vllm_parallel_efficiency_ratio",
    "gauge",
    "Share of their steps that the ranks compute instead of waiting for others, 0 to 1, over the last 30 s.",
    ("server",),
)
PARALLEL_SIZE = Family(
    "vllm_parallel_size",
    "gauge",
    "Ranks of the kind (tensor, pipeline, data, expert, prefill_context, decode_context), as this host sees them.",
    ("server", "kind"),
)
PARALLEL_RANKS = Family(
    "vllm_parallel_ranks", "gauge", "Processes on this host that compute for the server.", ("server",)
)
PARALLEL_GPU_MODELS = Family(
    "vllm_parallel_gpu_models", "gauge", "Models of GPU among the server's ranks; more than 1 is a mix.", ("server",)
)
SERVER_ROLE_INFO = Family(
    "vllm_server_role_info", "gauge", "Always 1; pd_role as configured (prefill, decode).", ("server", "pd_role")
)

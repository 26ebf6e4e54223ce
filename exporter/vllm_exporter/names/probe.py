"""What a server answers, and what follows from it: health, canaries, progress, state, sequences."""

from __future__ import annotations

from vllm_exporter.family import Family

PROBE_HEALTH = Family(
    "vllm_probe_health",
    "gauge",
    "1 for the result of the last /health probe (ok, refused, timeout, 503, other), 0 for the others.",
    ("server", "result"),
)
PROBE_HEALTH_SECONDS = Family("vllm_probe_health_seconds", "gauge", "Duration of the last /health probe.", ("server",))
CANARY_SUCCESS = Family(
    "vllm_canary_success",
    "gauge",
    "1 if the last finished canary request got its token, else 0; absent before the first.",
    ("server",),
)
CANARY_SECONDS = Family("vllm_canary_seconds", "gauge", "Duration of the last finished canary request.", ("server",))
CANARY_CONSECUTIVE_FAILURES = Family(
    "vllm_canary_consecutive_failures", "gauge", "Canary requests failed since the last that worked.", ("server",)
)
CANARY_REQUESTS_TOTAL = Family(
    "vllm_canary_requests_total",
    "counter",
    "Canary requests by result (ok, timeout, error, not_applicable).",
    ("server", "result"),
)

# Progress of a server's engine.

SERVER_PROGRESS_AGE_SECONDS = Family(
    "vllm_server_progress_age_seconds",
    "gauge",
    "Seconds since a value pushed by the engine changed or, if later, since work appeared.",
    ("server",),
)
SERVER_WORK_PRESENT = Family(
    "vllm_server_work_present",
    "gauge",
    "1 if requests run or wait or a canary is unanswered, else 0.",
    ("server",),
)
SERVER_STALLED = Family(
    "vllm_server_stalled",
    "gauge",
    "1 if the engine has work and made no progress for longer than the limit, else 0.",
    ("server",),
)
SERVER_STALL_LIMIT_SECONDS = Family(
    "vllm_server_stall_limit_seconds",
    "gauge",
    "Seconds without progress after which the server counts as stalled.",
    ("server",),
)

# State of a server.

SERVER_READY = Family("vllm_server_ready", "gauge", "1 if /health is fine now, else 0.", ("server",))
SERVER_READY_AGE_SECONDS = Family(
    "vllm_server_ready_age_seconds", "gauge", "Seconds since the server became ready.", ("server",)
)
SERVER_PAUSED = Family(
    "vllm_server_paused", "gauge", "1 if the server says it is paused, 0 if not, absent if it is silent.", ("server",)
)
SERVER_SLEEPING = Family("vllm_server_sleeping", "gauge", "1 if the engine sleeps, else 0.", ("server",))
SERVER_METRICS_READABLE = Family(
    "vllm_server_metrics_readable", "gauge", "1 if /metrics was read and had vllm: families, else 0.", ("server",)
)

# Sequences, read from vLLM under the names of the field's guide.

NUM_RUNNING_SEQUENCES = Family(
    "vllm_num_running_sequences", "gauge", "Sequences being computed, summed over engines.", ("server",)
)
NUM_WAITING_SEQUENCES = Family(
    "vllm_num_waiting_sequences", "gauge", "Sequences waiting for the scheduler, summed over engines.", ("server",)
)
NUM_SWAPPED_SEQUENCES = Family(
    "vllm_num_swapped_sequences", "gauge", "Sequences swapped out to the CPU, where vLLM has such.", ("server",)
)
KV_CACHE_UTILIZATION_PERCENT = Family(
    "vllm_kv_cache_utilization_percent",
    "gauge",
    "Used share of the KV cache, 0 to 100, of the fullest engine.",
    ("server",),
)
SCHEDULER_ITERATIONS_TOTAL = Family(
    "vllm_scheduler_iterations_total",
    "counter",
    "Scheduler iterations that produced output, summed over engines.",
    ("server",),
)

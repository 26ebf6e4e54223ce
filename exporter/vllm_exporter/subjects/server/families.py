"""A server's health, canaries, progress, state and sequences, from its answers."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

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

CANARY_TIME_TO_FIRST_TOKEN_SECONDS = Family(
    "vllm_canary_time_to_first_token_seconds",
    "gauge",
    "Seconds from the last finished canary request to its first token; absent if it got none.",
    ("server",),
)
CANARY_PROMPT_TOKENS_TOTAL = Family(
    "vllm_canary_prompt_tokens_total",
    "counter",
    "Prompt tokens of our canary requests, as the server counted them: subtract them from its own count.",
    ("server",),
)
CANARY_GENERATION_TOKENS_TOTAL = Family(
    "vllm_canary_generation_tokens_total",
    "counter",
    "Tokens generated for our canary requests, as the server counted them: subtract them from its own count.",
    ("server",),
)

# Deep probes: management endpoints that go through the engine, where they are allowed and offered.

DEEP_PROBE_SUCCESS = Family(
    "vllm_deep_probe_success",
    "gauge",
    "1 if the engine answered the last deep probe (is_paused, is_sleeping, check_health: also every worker), else 0.",
    ("server", "probe"),
)
DEEP_PROBE_SECONDS = Family("vllm_deep_probe_seconds", "gauge", "Duration of the last deep probe.", ("server", "probe"))

# A server's answers about itself, requested when it becomes ready and every 5 minutes.

SERVER_INFO = Family(
    "vllm_server_info",
    "gauge",
    "Always 1; the labels say the release (/version) and the first model (/v1/models).",
    ("server", "version", "model_name"),
)
SERVER_MODEL = Family(
    "vllm_server_model",
    "gauge",
    "Always 1 for each of the first 20 models that the server offers, LoRA adapters included.",
    ("server", "model_name"),
)
SERVER_LOAD_REQUESTS = Family(
    "vllm_server_load_requests",
    "gauge",
    "Requests in flight by /load; vLLM says 0 unless it runs with --enable-server-load-tracking.",
    ("server",),
)

# Progress of a server's engine.

SERVER_PROGRESS_AGE_SECONDS = Family(
    "vllm_server_progress_age_seconds",
    "gauge",
    "Seconds since the engine's last step, as the part inside or a value that it pushes shows it or, if later, since "
    "work appeared.",
    ("server",),
)
ENGINE_PROGRESS_AGE_SECONDS = Family(
    "vllm_engine_progress_age_seconds",
    "gauge",
    "Seconds that one of several engines has stood still with requests of its own; 0 while it has none.",
    ("server", "engine"),
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
SERVER_UNACCEPTED_CONNECTIONS = Family(
    "vllm_server_unaccepted_connections",
    "gauge",
    "Connections to a server of this host that it has not accepted, while /health gets no answer; absent when it does, "
    "and when its queue is full.",
    ("server",),
)
SERVER_METRICS_READABLE = Family(
    "vllm_server_metrics_readable", "gauge", "1 if /metrics was read and had vllm: families, else 0.", ("server",)
)

# Sequences, read from vLLM, under the names that guides to vLLM use.

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

# The block table of the KV cache, in numbers.

KV_BLOCKS = Family(
    "vllm_kv_blocks",
    "gauge",
    "Blocks of the KV cache: total, used by requests, free (or only cached, which vLLM gives away when needed).",
    ("server", "engine", "state"),
)
KV_BLOCKS_ALLOCATED_TOTAL = Family(
    "vllm_kv_blocks_allocated_total",
    "counter",
    "KV blocks taken by requests, at least: from the change of the used ones between two looks.",
    ("server", "engine"),
)
KV_BLOCKS_RELEASED_TOTAL = Family(
    "vllm_kv_blocks_released_total",
    "counter",
    "KV blocks given back by requests, at least: from the change of the used ones between two looks.",
    ("server", "engine"),
)

"""The counts of the in-process part: requests as the serving process sees them, summed over a server's processes."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

REQUESTS_TOTAL = Family(
    "vllm_requests_total", "counter", "Requests finished, by status (success, error, aborted, …).", ("server", "status")
)
REQUEST_ERRORS_TOTAL = Family(
    "vllm_request_errors_total",
    "counter",
    "Requests that failed, by type (validation, not_found, rate_limited, overload, timeout, client_abort, in_stream, "
    "engine_dead, oom, internal).",
    ("server", "type"),
)
REQUEST_LATENCY_SECONDS = Family(
    "vllm_request_latency_seconds",
    "histogram",
    "Seconds from a request to the end of its answer.",
    ("server",),
)
TIME_TO_FIRST_TOKEN_SECONDS = Family(
    "vllm_time_to_first_token_seconds", "histogram", "Seconds from a request to its first token.", ("server",)
)
TOKENS_GENERATED_TOTAL = Family("vllm_tokens_generated_total", "counter", "Tokens generated.", ("server",))
THROUGHPUT_TOKENS_PER_SECOND = Family(
    "vllm_throughput_tokens_per_second",
    "gauge",
    "Tokens generated a second, as last seen.",
    ("server",),
)

# The engine's steps, as its statistics say; from the plug-in.

ENGINE_STEP_AGE_SECONDS = Family(
    "vllm_engine_step_age_seconds",
    "gauge",
    "Seconds since an engine's last step was reported; it grows while an engine is idle, too.",
    ("server", "engine"),
)
ENGINE_STEPS_TOTAL = Family("vllm_engine_steps_total", "counter", "Steps of an engine.", ("server", "engine"))
ENGINE_STEP_SECONDS = Family(
    "vllm_engine_step_seconds",
    "histogram",
    "Seconds from one step of an engine to the next, while it had requests; not with several API servers, each of "
    "which is told only some of the steps.",
    ("server", "engine"),
)
ENGINE_BATCH_REQUESTS = Family(
    "vllm_engine_batch_requests", "histogram", "Requests that ran when a step ended.", ("server",)
)
ENGINE_BATCH_TOKENS = Family(
    "vllm_engine_batch_tokens",
    "histogram",
    "Tokens of a step: generated ones, and those of prompts that were completed in it.",
    ("server",),
)
REQUEST_QUEUE_SECONDS = Family(
    "vllm_request_queue_seconds", "histogram", "Seconds that a finished request waited for its first step.", ("server",)
)
REQUEST_PREFILL_SECONDS = Family(
    "vllm_request_prefill_seconds",
    "histogram",
    "Seconds of a finished request from its first step to its first token.",
    ("server",),
)
REQUEST_DECODE_SECONDS = Family(
    "vllm_request_decode_seconds",
    "histogram",
    "Seconds of a finished request from its first token to its last.",
    ("server",),
)
INTER_TOKEN_SECONDS = Family(
    "vllm_inter_token_seconds", "histogram", "Seconds between two tokens of a request.", ("server",)
)
PREEMPTIONS_TOTAL = Family(
    "vllm_preemptions_total", "counter", "Requests that lost their KV blocks and were computed again.", ("server",)
)
PREFIX_CACHE_TOKENS_TOTAL = Family(
    "vllm_prefix_cache_tokens_total",
    "counter",
    "Tokens of prompts that were looked up in the prefix cache (queried), and found there (hit).",
    ("server", "result"),
)
SPEC_DECODE_TOKENS_TOTAL = Family(
    "vllm_spec_decode_tokens_total",
    "counter",
    "Tokens that speculative decoding drafted (draft), and those that were accepted.",
    ("server", "kind"),
)
LORA_REQUESTS = Family(
    "vllm_lora_requests",
    "gauge",
    "Requests of an adapter, running or waiting; beyond 32 adapters 'other'.",
    ("server", "adapter", "state"),
)
ENGINE = (
    ENGINE_STEP_AGE_SECONDS,
    ENGINE_STEPS_TOTAL,
    ENGINE_STEP_SECONDS,
    ENGINE_BATCH_REQUESTS,
    ENGINE_BATCH_TOKENS,
    REQUEST_QUEUE_SECONDS,
    REQUEST_PREFILL_SECONDS,
    REQUEST_DECODE_SECONDS,
    INTER_TOKEN_SECONDS,
    PREEMPTIONS_TOTAL,
    PREFIX_CACHE_TOKENS_TOTAL,
    SPEC_DECODE_TOKENS_TOTAL,
    LORA_REQUESTS,
)
EVENT_LOOP_LAG_SECONDS = Family(
    "vllm_event_loop_lag_seconds",
    "gauge",
    "Longest that an API server's event loop left a call waiting in the last 10 s, or lets one wait now.",
    ("server",),
)

# Requests on their way; from the middleware.

REQUESTS_IN_FLIGHT = Family(
    "vllm_requests_in_flight",
    "gauge",
    "Requests on their way, by phase: waiting for the answer or its first part, or answering in parts.",
    ("server", "phase"),
)
REQUEST_OLDEST_SECONDS = Family(
    "vllm_request_oldest_seconds", "gauge", "Age of the oldest request in a phase.", ("server", "phase")
)

TENANT_REQUESTS_TOTAL = Family(
    "vllm_tenant_requests_total",
    "counter",
    "Requests finished, by who asked and status (success, error, aborted); beyond 32 tenants 'other'.",
    ("server", "tenant", "status"),
)
TENANT_LATENCY_SECONDS = Family(
    "vllm_tenant_latency_seconds",
    "histogram",
    "Seconds from a request to the end of its answer, by who asked, in few buckets.",
    ("server", "tenant"),
)
TENANT_TOKENS_TOTAL = Family(
    "vllm_tenant_tokens_total",
    "counter",
    "Tokens of prompts and of answers (output), by who asked, where the engine says them.",
    ("server", "tenant", "kind"),
)
MODEL_REQUESTS_TOTAL = Family(
    "vllm_model_requests_total",
    "counter",
    "Requests finished, by the model they named and status (success, error, aborted); beyond 32 models 'other'.",
    ("server", "model_name", "status"),
)

# The memory lever, in each process of a server.

MEMORY_LEVER_FREED_BYTES_TOTAL = Family(
    "vllm_memory_lever_freed_bytes_total",
    "counter",
    "Bytes that a process gave back when it was told to, by memory (host, device).",
    ("server", "role", "rank", "memory"),
)
MEMORY_LEVER_PULLS_TOTAL = Family(
    "vllm_memory_lever_pulls_total",
    "counter",
    "Times that a process freed memory as it was told: idle, between two steps, or busy, during one.",
    ("server", "role", "rank", "moment"),
)
MEMORY_LEVER_SECONDS_TOTAL = Family(
    "vllm_memory_lever_seconds_total",
    "counter",
    "Seconds that freeing memory took; Python does nothing else meanwhile.",
    ("server", "role", "rank"),
)
MEMORY_LEVER_LAST_PULL_TIMESTAMP_SECONDS = Family(
    "vllm_memory_lever_last_pull_timestamp_seconds",
    "gauge",
    "Time at which the last command was given that a process obeyed, since 1970.",
    ("server", "role", "rank"),
)
MEMORY_LEVER = (
    MEMORY_LEVER_FREED_BYTES_TOTAL,
    MEMORY_LEVER_PULLS_TOTAL,
    MEMORY_LEVER_SECONDS_TOTAL,
    MEMORY_LEVER_LAST_PULL_TIMESTAMP_SECONDS,
)

# Exceptions.

EXCEPTIONS_TOTAL = Family(
    "vllm_exceptions_total",
    "counter",
    "Exceptions that nobody caught (origin main, thread, asyncio), or that a request's handler raised (handler), by "
    "class.",
    ("server", "origin", "exception"),
)

# The door of the middleware: throttle and guard.

THROTTLE_REFUSALS_TOTAL = Family(
    "vllm_throttle_refusals_total",
    "counter",
    "Requests that the throttle refused, by reason: too many at once (concurrency), requests or tokens a second.",
    ("server", "reason"),
)
THROTTLE_PROCESSES = Family(
    "vllm_throttle_processes",
    "gauge",
    "API processes that keep to a throttle now; 0: everybody is let in.",
    ("server",),
)
THROTTLE_GENERATION = Family(
    "vllm_throttle_generation",
    "gauge",
    "Number of the newest order for the throttle that a process has read.",
    ("server",),
)
THROTTLE_FILE_UNUSABLE = Family(
    "vllm_throttle_file_unusable",
    "gauge",
    "1 if a process does not understand or not trust the throttle's file, and so throttles nobody.",
    ("server",),
)
MANAGEMENT_REFUSALS_TOTAL = Family(
    "vllm_management_refusals_total",
    "counter",
    "Requests to vLLM's management paths that did not show the token. Absent: they are not guarded.",
    ("server",),
)
MANAGEMENT_TOKEN_UNUSABLE = Family(
    "vllm_management_token_unusable",
    "gauge",
    "1 if the token's file cannot be used, so that management paths are closed to everybody.",
    ("server",),
)
DOOR = (
    THROTTLE_REFUSALS_TOTAL,
    THROTTLE_PROCESSES,
    THROTTLE_GENERATION,
    THROTTLE_FILE_UNUSABLE,
    MANAGEMENT_REFUSALS_TOTAL,
    MANAGEMENT_TOKEN_UNUSABLE,
)

# The hand-over itself.

INSIDE_REQUESTS_LOST_TOTAL = Family(
    "vllm_inside_requests_lost_total",
    "counter",
    "Requests that were not counted: they ended faster than the counting thread came to it.",
    ("server",),
)
INSIDE_STEPS_LOST_TOTAL = Family(
    "vllm_inside_steps_lost_total",
    "counter",
    "Steps that were not counted: they came faster than the counting thread, or could not be understood.",
    ("server",),
)
INSIDE_LINES_LOST_TOTAL = Family(
    "vllm_inside_lines_lost_total",
    "counter",
    "Failed requests and exceptions that are counted, but not written as lines: more than 20 a second, or no space.",
    ("server",),
)
INSIDE_DISABLED = Family(
    "vllm_inside_disabled", "gauge", "1 if the plug-in knows nothing of what this vLLM reports.", ("server",)
)

INSIDE_PROCESSES = Family(
    "vllm_inside_processes",
    "gauge",
    "Live processes whose snapshot file is read, by role (api_server, engine_core, worker, other).",
    ("server", "role"),
)
INSIDE_SNAPSHOT_AGE_SECONDS = Family(
    "vllm_inside_snapshot_age_seconds",
    "gauge",
    "Seconds since the last write of the process of a role that has been silent longest.",
    ("server", "role"),
)
INSIDE_SNAPSHOT_ERRORS_TOTAL = Family(
    "vllm_inside_snapshot_errors_total",
    "counter",
    "Readings of a snapshot file or of a line that failed, by reason (torn, truncated, magic, version, size, "
    "directory, value, line, untrusted, unreadable).",
    ("reason",),
)
INSIDE_SERIES_IGNORED = Family(
    "vllm_inside_series_ignored", "gauge", "Names in snapshot files that the exporter does not know."
)

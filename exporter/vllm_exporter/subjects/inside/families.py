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

# The hand-over itself.

INSIDE_PROCESSES = Family("vllm_inside_processes", "gauge", "Live processes whose snapshot file is read.", ("server",))
INSIDE_SNAPSHOT_AGE_SECONDS = Family(
    "vllm_inside_snapshot_age_seconds",
    "gauge",
    "Seconds since the last write of the process that has been silent longest.",
    ("server",),
)
INSIDE_SNAPSHOT_ERRORS_TOTAL = Family(
    "vllm_inside_snapshot_errors_total",
    "counter",
    "Readings of a snapshot file that failed, by reason (torn, truncated, magic, version, size, directory, value, "
    "untrusted, unreadable).",
    ("reason",),
)
INSIDE_SERIES_IGNORED = Family(
    "vllm_inside_series_ignored", "gauge", "Names in snapshot files that the exporter does not know."
)

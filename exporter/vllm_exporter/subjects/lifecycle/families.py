"""The lifecycle state of each server, and how it got there."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

LIFECYCLE_STATE = Family(
    "vllm_lifecycle_state",
    "gauge",
    "1 for the state that the server is in, 0 for the other 41.",
    ("server", "state"),
)
LIFECYCLE_STATE_SECONDS = Family(
    "vllm_lifecycle_state_seconds", "gauge", "Seconds for which the server has been in its state.", ("server",)
)
LIFECYCLE_TRANSITIONS_TOTAL = Family(
    "vllm_lifecycle_transitions_total",
    "counter",
    "Changes of state; only pairs that were seen are there.",
    ("server", "from", "to"),
)
LIFECYCLE_ILLEGAL_TRANSITIONS_TOTAL = Family(
    "vllm_lifecycle_illegal_transitions_total",
    "counter",
    "Evidence for a state that cannot follow the one before, believed or not; only pairs that were seen are there.",
    ("server", "from", "to"),
)
LIFECYCLE_PHASE_SECONDS = Family(
    "vllm_lifecycle_phase_seconds",
    "gauge",
    "Seconds that the last start spent in each state; total: from the process to the first good /health.",
    ("server", "phase"),
)
LIFECYCLE_FAILED_STARTS = Family(
    "vllm_lifecycle_failed_starts", "gauge", "Starts in a row that never computed an answer.", ("server",)
)
LIFECYCLE_LAST_EXIT_TIMESTAMP_SECONDS = Family(
    "vllm_lifecycle_last_exit_timestamp_seconds",
    "gauge",
    "Unix time of the server's last end. The labels say which process went first and why; code is empty if unknown.",
    ("server", "role", "cause", "code"),
)

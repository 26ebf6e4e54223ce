"""The event log: how many events there were, and where they were written."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

EVENTS_TOTAL = Family(
    "vllm_events_total",
    "counter",
    "Events by kind (lifecycle, xid, oom_kill, log, exit, failed_request, exception …) and severity.",
    ("kind", "severity"),
)
EVENTS_WRITTEN_TOTAL = Family("vllm_events_written_total", "counter", "Events written to the event file.")
EVENTS_DROPPED_TOTAL = Family(
    "vllm_events_dropped_total",
    "counter",
    "Events lost: queue (too many at once), file (not writable), loki (not reachable for too long, or refused them).",
    ("place",),
)
EVENT_FILE_BYTES = Family("vllm_event_file_bytes", "gauge", "Size of the event file that is written to, in bytes.")
LOKI_PUSHES_TOTAL = Family(
    "vllm_loki_pushes_total",
    "counter",
    "Pushes to Loki by result: ok, failed (tried again), rejected (not tried again).",
    ("result",),
)
LOKI_WAITING_EVENTS = Family("vllm_loki_waiting_events", "gauge", "Events that wait to be pushed to Loki.")

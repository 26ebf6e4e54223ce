"""Logs of vLLM servers: classes of lines, and how well the logs can be read. `server` is "" for a log of the host."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

_SOURCE = ("server", "source")

LOG_EVENTS_TOTAL = Family(
    "vllm_log_events_total",
    "counter",
    "Lines by class and severity (info, warning, error, critical). Of errors and worse there is a 0 before the first.",
    ("server", "class", "severity"),
)
LOG_EVENT_LAST_TIMESTAMP_SECONDS = Family(
    "vllm_log_event_last_timestamp_seconds",
    "gauge",
    "Unix time of the newest line of the class; absent before the first.",
    ("server", "class"),
)
LOG_READABLE = Family("vllm_log_readable", "gauge", "1 if the log could be read last time, else 0.", _SOURCE)
LOG_LINES_TOTAL = Family("vllm_log_lines_total", "counter", "Lines read.", _SOURCE)
LOG_LAST_LINE_TIMESTAMP_SECONDS = Family(
    "vllm_log_last_line_timestamp_seconds", "gauge", "Unix time at which the newest line was read.", _SOURCE
)
LOG_CUT_LINES_TOTAL = Family(
    "vllm_log_cut_lines_total", "counter", "Lines longer than 64 KiB, which were cut.", _SOURCE
)
LOG_SKIPPED_BYTES_TOTAL = Family(
    "vllm_log_skipped_bytes_total", "counter", "Bytes given up unread, because the log was too far ahead.", _SOURCE
)
LOG_UNREAD_BYTES = Family("vllm_log_unread_bytes", "gauge", "Bytes of the file that are still to be read.", _SOURCE)

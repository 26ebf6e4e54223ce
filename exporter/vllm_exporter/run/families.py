"""The exporter itself."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

EXPORTER_BUILD_INFO = Family(
    "vllm_exporter_build_info", "gauge", "Always 1; the labels say which exporter runs.", ("version", "python")
)
EXPORTER_TARGETS = Family("vllm_exporter_targets", "gauge", "Number of vLLM servers the exporter is told to watch.")
EXPORTER_COLLECTOR_SUCCESS = Family(
    "vllm_exporter_collector_success",
    "gauge",
    "1 if the collector's last run worked, 0 if it failed or hangs.",
    ("collector",),
)
EXPORTER_COLLECTOR_NO_DATA = Family(
    "vllm_exporter_collector_no_data",
    "gauge",
    "1 if the collector works but its subject is not there, else 0.",
    ("collector",),
)
EXPORTER_COLLECTOR_DURATION_SECONDS = Family(
    "vllm_exporter_collector_duration_seconds",
    "gauge",
    "Duration of the collector's last run; while a run hangs, its time so far.",
    ("collector",),
)
EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS = Family(
    "vllm_exporter_collector_last_success_timestamp_seconds",
    "gauge",
    "Unix time at which the collector last finished without failing.",
    ("collector",),
)
EXPORTER_COLLECTOR_ERRORS_TOTAL = Family(
    "vllm_exporter_collector_errors_total", "counter", "Runs of the collector that failed.", ("collector",)
)
EXPORTER_COLLECTOR_CPU_SECONDS_TOTAL = Family(
    "vllm_exporter_collector_cpu_seconds_total",
    "counter",
    "CPU time of the collector's runs in seconds, without threads of its own.",
    ("collector",),
)
EXPORTER_COLLECTOR_INTERVAL_SECONDS = Family(
    "vllm_exporter_interval_seconds",
    "gauge",
    "Seconds between two runs of the collector; more than configured beyond the CPU budget or without anything to see.",
    ("collector",),
)
EXPORTER_CPU_SECONDS_TOTAL = Family(
    "vllm_exporter_cpu_seconds_total", "counter", "CPU time of the whole exporter in seconds."
)

"""The exporter's metrics of itself: whether its collectors work, and the CPU time of each and of all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.run.runner import View

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
    "Seconds between two runs of the collector; longer than configured while the CPU budget is exceeded.",
    ("collector",),
)
EXPORTER_CPU_SECONDS_TOTAL = Family(
    "vllm_exporter_cpu_seconds_total", "counter", "CPU time of the whole exporter in seconds."
)

STATUS: tuple[Family, ...] = (
    EXPORTER_CPU_SECONDS_TOTAL,
    EXPORTER_COLLECTOR_ERRORS_TOTAL,
    EXPORTER_COLLECTOR_INTERVAL_SECONDS,
    EXPORTER_COLLECTOR_SUCCESS,
    EXPORTER_COLLECTOR_NO_DATA,
    EXPORTER_COLLECTOR_DURATION_SECONDS,
    EXPORTER_COLLECTOR_CPU_SECONDS_TOTAL,
    EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS,
)


def status_rows(views: Iterable[View], cpu: float) -> Iterator[Row]:
    """Yields the exporter's own samples; `cpu` is the CPU time of the whole process in seconds."""
    yield (EXPORTER_CPU_SECONDS_TOTAL, ()), cpu
    for view in views:
        name = (view.name,)
        yield (EXPORTER_COLLECTOR_ERRORS_TOTAL, name), view.errors
        yield (EXPORTER_COLLECTOR_INTERVAL_SECONDS, name), view.interval
        if view.result == "not_run":
            continue
        yield (EXPORTER_COLLECTOR_SUCCESS, name), view.result != "failed"
        yield (EXPORTER_COLLECTOR_NO_DATA, name), view.result == "no_data"
        yield (EXPORTER_COLLECTOR_DURATION_SECONDS, name), view.duration
        yield (EXPORTER_COLLECTOR_CPU_SECONDS_TOTAL, name), view.cpu
        if view.worked_wall is not None:
            yield (EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS, name), view.worked_wall

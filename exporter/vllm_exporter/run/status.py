"""What the exporter says of itself: whether its collectors work, and what they and it cost. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vllm_exporter.metrics.family import Block, Family, Layout, Series
from vllm_exporter.run.families import (
    EXPORTER_COLLECTOR_CPU_SECONDS_TOTAL,
    EXPORTER_COLLECTOR_DURATION_SECONDS,
    EXPORTER_COLLECTOR_ERRORS_TOTAL,
    EXPORTER_COLLECTOR_INTERVAL_SECONDS,
    EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS,
    EXPORTER_COLLECTOR_NO_DATA,
    EXPORTER_COLLECTOR_SUCCESS,
    EXPORTER_CPU_SECONDS_TOTAL,
)
from vllm_exporter.run.runner import View

ALWAYS: tuple[Family, ...] = (EXPORTER_COLLECTOR_ERRORS_TOTAL, EXPORTER_COLLECTOR_INTERVAL_SECONDS)
AFTER_A_RUN: tuple[Family, ...] = (
    EXPORTER_COLLECTOR_SUCCESS,
    EXPORTER_COLLECTOR_NO_DATA,
    EXPORTER_COLLECTOR_DURATION_SECONDS,
    EXPORTER_COLLECTOR_CPU_SECONDS_TOTAL,
)
AFTER_SUCCESS: tuple[Family, ...] = (EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS,)
STATUS = (EXPORTER_CPU_SECONDS_TOTAL, *ALWAYS, *AFTER_A_RUN, *AFTER_SUCCESS)


class Status:
    """Keeps the layout for as long as each collector has as much to say as before."""

    def __init__(self) -> None:
        self._known: list[tuple[str, bool, bool]] = []
        self._layout = Layout(())

    def block(self, views: Sequence[View], cpu: float) -> Block:
        """`cpu`: seconds that the whole process took."""
        known = [(view.name, view.result != "not_run", view.worked_wall is not None) for view in views]
        if known != self._known or not self._layout.series:
            self._layout = Layout([(EXPORTER_CPU_SECONDS_TOTAL, ()), *_series(known)])
            self._known = known
        return self._layout.block([cpu, *(number for view in views for number in _numbers(view))])


def _series(known: Iterable[tuple[str, bool, bool]]) -> Iterator[Series]:
    for name, has_run, has_worked in known:
        families = (*ALWAYS, *(AFTER_A_RUN if has_run else ()), *(AFTER_SUCCESS if has_worked else ()))
        yield from ((family, (name,)) for family in families)


def _numbers(view: View) -> tuple[float, ...]:
    """In the order of `_series`."""
    always = (view.errors, view.interval)
    if view.result == "not_run":
        return always
    run = (int(view.result != "failed"), int(view.result == "no_data"), view.duration, view.cpu)
    return (*always, *run) if view.worked_wall is None else (*always, *run, view.worked_wall)

"""The samples of one server's lifecycle. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_exporter.metrics.family import Row
from vllm_exporter.subjects.lifecycle import families as names
from vllm_exporter.subjects.lifecycle.machine import Machine
from vllm_exporter.subjects.lifecycle.states import NAMES


def rows(server: str, machine: Machine, now: float, offset: float) -> Iterator[Row]:
    """Yields the samples. `now` is in monotonic seconds; `offset` is Unix time minus monotonic time."""
    history, ended = machine.history, machine.last_exit
    for state in NAMES:
        yield (names.LIFECYCLE_STATE, (server, state)), state == machine.state
    yield (names.LIFECYCLE_STATE_SECONDS, (server,)), max(0.0, now - history.since)
    yield (names.LIFECYCLE_FAILED_STARTS, (server,)), machine.failures.starts
    for pair, count in history.transitions.items():
        yield (names.LIFECYCLE_TRANSITIONS_TOTAL, (server, *pair)), count
    for pair, count in history.illegal.items():
        yield (names.LIFECYCLE_ILLEGAL_TRANSITIONS_TOTAL, (server, *pair)), count
    for phase, seconds in history.phases.seconds.items():
        yield (names.LIFECYCLE_PHASE_SECONDS, (server, phase)), seconds
    if ended is not None:
        labels = (server, ended.role, ended.cause, ended.code)
        yield (names.LIFECYCLE_LAST_EXIT_TIMESTAMP_SECONDS, labels), ended.at + offset

"""The steps of engines and ranks, as a server's processes report them in their snapshots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vllm_exporter.facts.facts import EngineStep, ServerSteps
from vllm_exporter.subjects.inside.format import Directory, ProcessSnapshot

RANK_STEPS = ("vllm_rank_steps_total", "vllm_rank_step_seconds_total")  # `distributed` compares them
RANK_PARTS = ("vllm_rank_compute_seconds_total", "vllm_rank_sync_seconds_total")
STEP, BUSY_STEP = "vllm_engine_step_age_seconds", "vllm_engine_busy_step_age_seconds"  # any, and with requests left
LAG = "vllm_event_loop_lag_seconds"
NOT_RENDERED = (*RANK_STEPS, *RANK_PARTS, BUSY_STEP)


def rank_places(directory: Directory) -> tuple[int | None, ...]:
    """Returns the places of a process's steps, their seconds, and those in compute and in sync; None: not counted."""
    at = {one.name: one.at for one in directory.entries}
    return tuple(at.get(name) for name in (*RANK_STEPS, *RANK_PARTS))


def is_api_server(one: ProcessSnapshot) -> bool:
    """True if the process has an event loop that is watched, or was told of steps."""
    return any(entry.name in (LAG, STEP) for entry in one.directory.entries)


def join_steps(snapshots: Iterable[ProcessSnapshot]) -> ServerSteps | None:
    """Returns the last steps of a server's engines; None when no process reports any.

    An engine reports each step to one of its API servers. So the newest counts, and only up to the time until which
    each of them has answered: the newest may be with one that is frozen, or whose event loop is blocked.
    """
    last: dict[str, float] = {}
    busy: dict[str, float] = {}
    until: list[float] = []
    for one in snapshots:
        steps, busy_steps = _values(one, STEP), _values(one, BUSY_STEP)
        if is_api_server(one):
            until.append(one.written - max(_values(one, LAG).values(), default=0.0))
        for engine in steps.keys() & busy_steps.keys():
            last[engine] = max(last.get(engine, 0.0), steps[engine])
            busy[engine] = max(busy.get(engine, 0.0), busy_steps[engine])
    if not last:
        return None
    return ServerSteps(min(until), {engine: EngineStep(at, busy[engine] >= at) for engine, at in sorted(last.items())})


def _values(one: ProcessSnapshot, name: str) -> Mapping[str, float]:
    """Returns the values of a family by its label `engine`."""
    return {
        dict(entry.labels).get("engine", ""): one.values[entry.at]
        for entry in one.directory.entries
        if entry.name == name
    }

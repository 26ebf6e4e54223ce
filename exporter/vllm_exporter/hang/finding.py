"""What a rule finds, and the words that several of them use. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vllm_exporter.hang.causes import CauseName
from vllm_exporter.hang.evidence import Evidence, ProcessSight

Certainty = Literal["certain", "likely", "possible"]

BUSY = 0.95  # of a GPU: it has something to do all the time
LIMIT = 29.0  # seconds: the exporter's default of 30 less the time between two readings
SPINS = 0.5  # cores: what a process uses at least that computes, or polls a GPU


@dataclass(frozen=True)
class Finding:
    """A cause, how sure it is, and what speaks for it."""

    cause: CauseName
    certainty: Certainty
    evidence: tuple[str, ...]


Rule = Callable[[Evidence], Finding | None]


def past_limit(seen: Evidence) -> bool:
    """Still for as long as this server may be by the exporter that watches it; else by the exporter's default."""
    return seen.still_seconds >= (LIMIT if seen.stall_limit is None else seen.stall_limit)


def requests(seen: Evidence) -> str:
    last = seen.last
    return f"{last.running:.0f} requests run, {last.waiting:.0f} wait" if last else ""


def cpu_words(seen: Evidence, role: str) -> tuple[str, ...]:
    return tuple(
        f"{one.name} uses {one.cpu:.2f} cores" for one in seen.processes if one.role == role and one.cpu is not None
    )


def gpus_busy(seen: Evidence) -> bool:
    return bool(seen.gpus) and all((gpu.utilization or 0) >= BUSY for gpu in seen.gpus)


def describe_process(one: ProcessSight) -> str:
    """A line for people."""
    cpu = "" if one.cpu is None else f", {one.cpu:.2f} cores"
    where = f", in {one.wchan}" if one.wchan else ""
    return f"{one.name}: state {one.state or '?'}{cpu}{where}"

"""A rule's finding, and phrases that several rules use. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vllm_exporter.people.hang.causes import CauseName
from vllm_exporter.people.hang.evidence import HangEvidence, ProcessSight

Certainty = Literal["certain", "likely", "possible"]

BUSY = 0.95  # utilization from which a GPU has something to do all the time
LIMIT = 29.0  # seconds: the exporter's default of 30 less the time between two readings
LATE = 1.0  # seconds: a server that is not saturated answers /health in a few ms
SPINS = 0.5  # cores that a process uses at least while it computes, or polls a GPU


@dataclass(frozen=True)
class Finding:
    """A cause, how sure it is, and the evidence for it."""

    cause: CauseName
    certainty: Certainty
    evidence: tuple[str, ...]
    advice: tuple[str, ...] = ()  # for this case; it comes before that of the cause


Rule = Callable[[HangEvidence], Finding | None]


def past_limit(seen: HangEvidence) -> bool:
    """True if nothing moved for the server's stall limit, as the exporter reports it, else for the default limit."""
    return seen.still_seconds >= (LIMIT if seen.stall_limit is None else seen.stall_limit)


def requests(seen: HangEvidence) -> str:
    """Returns '2 requests run, 0 wait', or '? …' for a number that is not known; '' when nothing was read."""
    last = seen.last
    return f"{count_words(last.running)} requests run, {count_words(last.waiting)} wait" if last else ""


def count_words(number: float | None) -> str:
    return "?" if number is None else f"{number:.0f}"


def cpu_words(seen: HangEvidence, role: str) -> tuple[str, ...]:
    return tuple(
        f"{one.name} uses {one.cpu:.2f} cores" for one in seen.processes if one.role == role and one.cpu is not None
    )


def health_words(seen: HangEvidence) -> str:
    """Returns what is wrong with the answer to /health; '' when nothing is."""
    if seen.health == "timeout":
        return f"no answer to /health in {seen.health_seconds:.0f} s"
    if seen.health == "other":
        return "/health gives neither 200 nor 503"
    return f"/health was answered after {seen.health_seconds:.1f} s" if seen.health_seconds >= LATE else ""


def state_words(seen: HangEvidence) -> str:
    """Returns 'state seen by the exporter: crash loop for 12 s: It failed again and again.'"""
    state = seen.state
    if state is None:
        return ""
    lasts = "" if state.seconds is None else f" for {state.seconds:.0f} s"
    meaning = f": {state.meaning}" if state.meaning else ""
    return f"state seen by the exporter: {state.name.replace('_', ' ')}{lasts}{meaning}"


def state_advice(seen: HangEvidence) -> tuple[str, ...]:
    return (seen.state.action,) if seen.state is not None and seen.state.action else ()


def told(*lines: str) -> tuple[str, ...]:
    """Returns the lines that are not empty."""
    return tuple(filter(None, lines))


def orphan_words(seen: HangEvidence) -> tuple[str, ...]:
    """Names the processes that were left behind, where this host sees them; else gives their number."""
    found = tuple(f"left behind: {one.name}" for one in seen.processes if one.orphan)
    return found or ((f"{seen.orphans} processes were left behind",) if seen.orphans else ())


def gpus_busy(seen: HangEvidence) -> bool:
    return bool(seen.gpus) and all((gpu.utilization or 0) >= BUSY for gpu in seen.gpus)


def describe_process(one: ProcessSight) -> str:
    """Returns a line for people."""
    cpu = "" if one.cpu is None else f", {one.cpu:.2f} cores"
    where = f", in {one.wchan}" if one.wchan else ""
    left = ", left behind" if one.orphan else ""
    return f"{one.name}: state {one.state or '?'}{cpu}{where}{left}"

"""Rules for a server that nobody can reach, or whose engine is gone. Pure."""

from __future__ import annotations

from vllm_exporter.people.hang.evidence import HangEvidence
from vllm_exporter.people.hang.finding import Certainty, Finding, orphan_words, state_advice, state_words, told


def left_over(seen: HangEvidence) -> Finding | None:
    """Finds engine and workers without their API server. If another one starts beside them, `starting` reports that."""
    if seen.health != "refused" or not seen.orphans or _starts(seen):
        return None
    return Finding("left_over_processes", "certain", ("connection refused", *orphan_words(seen)))


def starting(seen: HangEvidence) -> Finding | None:
    """Finds a start from the exporter's state, which comes from the log; else from a process that refuses connections
    so far."""
    if seen.health != "refused" or not _starts(seen):
        return None
    sure: Certainty = "certain" if seen.state is not None else "likely"
    processes = [f"{one.name} is there" for one in seen.processes if one.role == "api_server"]
    advice = state_advice(seen) or ("Wait; look at the end of its log if it takes longer than usual.",)
    if seen.orphans:
        advice = ("End the processes that were left behind: they hold memory that this start needs.", *advice)
    said = told("connection refused", state_words(seen), *processes, *orphan_words(seen))
    return Finding("starting", sure, said, advice)


def not_running(seen: HangEvidence) -> Finding | None:
    if seen.health != "refused":
        return None
    return Finding("not_running", "certain", told("connection refused", state_words(seen)), state_advice(seen))


def engine_dead(seen: HangEvidence) -> Finding | None:
    said = told("/health answers 503", state_words(seen))
    return Finding("engine_dead", "certain", said) if seen.health == "503" else None


def _starts(seen: HangEvidence) -> bool:
    if seen.state is not None:
        return seen.state.kind == "starting"
    return any(one.role == "api_server" for one in seen.processes)

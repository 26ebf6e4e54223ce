"""Rules for a server that is held, does not answer, or moves after all. Pure."""

from __future__ import annotations

from vllm_exporter.people.hang.evidence import HangEvidence
from vllm_exporter.people.hang.finding import (
    SPINS,
    Certainty,
    Finding,
    count_words,
    cpu_words,
    gpus_busy,
    health_words,
    past_limit,
    requests,
    state_advice,
    state_words,
    told,
)

QUEUE = 10  # waiting requests, and half of those that run: a shorter queue is worked off within seconds
FULL = 0.95  # share of the KV cache below which there is room for another request


def stopped(seen: HangEvidence) -> Finding | None:
    """Finds a stopped process. It comes before anything else: nothing moves until the process continues."""
    held = [one for one in seen.processes if one.state in ("T", "t") and not one.orphan]
    if not held:
        return None
    return Finding("stopped_worker", "certain", tuple(f"{one.name} is in state {one.state}" for one in held))


def silent(seen: HangEvidence) -> Finding | None:
    """Finds a server that does not answer. A saturated one may be slow at /health too, but its values move."""
    if seen.health not in ("timeout", "other") or seen.moved:
        return None
    metrics = "" if seen.samples else f"/metrics: {seen.problem or 'not read'}"
    still = f"no value moved for {seen.still_seconds:.0f} s" if seen.samples else ""
    said = told(health_words(seen), metrics, still, *cpu_words(seen, "api_server"))
    return Finding("api_server_silent", "likely", said)


def sleeping(seen: HangEvidence) -> Finding | None:
    return Finding("sleeping", "certain", ("vLLM says that an engine is not awake",)) if seen.sleeping else None


def paused(seen: HangEvidence) -> Finding | None:
    return Finding("paused", "certain", ("GET /is_paused answers true",)) if seen.paused else None


def unreadable(seen: HangEvidence) -> Finding | None:
    if seen.samples or seen.canary == "timeout":
        return None
    return Finding("unreadable", "certain", (f"/metrics: {seen.problem or 'not read'}",))


def kv_overflow(seen: HangEvidence) -> Finding | None:
    """Finds a full KV cache that makes requests wait or be preempted."""
    last = seen.last
    if last is None or not seen.moved or (last.kv_usage or 0) < FULL:
        return None
    preempted = seen.rise("preemptions")
    if not preempted and not last.waiting:
        return None
    return Finding(
        "kv_overflow",
        "likely",
        told(
            f"KV cache {last.kv_usage or 0:.0%} full",
            f"{count_words(last.waiting)} requests wait, {preempted:.0f} preempted in {seen.seconds:.0f} s",
            health_words(seen),
        ),
    )


def overload(seen: HangEvidence) -> Finding | None:
    """Finds a queue in two of three readings: after a burst it gets shorter, in an overload it dips as batches end."""
    if not seen.moved or not seen.produced:
        return None
    queue = sorted(sample.values.waiting or 0 for sample in seen.samples)[len(seen.samples) // 3]
    running = max(sample.values.running or 0 for sample in seen.samples)
    if queue < max(QUEUE, running / 2):
        return None
    tokens = seen.rise("generation_tokens")
    return Finding(
        "overload",
        "likely",
        told(
            f"at least {queue:.0f} requests wait while {running:.0f} run",
            f"{tokens:.0f} tokens generated in {seen.seconds:.0f} s: the engine moves",
            health_words(seen),
        ),
    )


def long_prefill(seen: HangEvidence) -> Finding | None:
    """Finds a long prefill: its steps give no output; only values that every step pushes move, above all KV usage."""
    last = seen.last
    if last is None or not last.work or seen.produced:
        return None
    if seen.moved:
        first = seen.samples[0].values
        fills = f"the KV cache went from {first.kv_usage or 0:.2%} to {last.kv_usage or 0:.2%}"
        said = told(f"no output in {seen.seconds:.0f} s, yet {fills}", requests(seen), health_words(seen))
        return Finding("long_prefill", "likely", said)
    busy = [one for one in seen.workers if (one.cpu or 0) >= SPINS]
    if not past_limit(seen) and (busy or gpus_busy(seen)):
        by = busy[0].name if busy else "the GPU"
        within = f"nothing moved for {seen.still_seconds:.0f} s, which a slow step can take; {by} computes"
        return Finding("long_prefill", "possible", (within, requests(seen)))
    return None


def working(seen: HangEvidence) -> Finding | None:
    """Finds that it moves, or has nothing to do and answers. A server that is stopping does so too, for a while."""
    ends = seen.state is not None and seen.state.kind == "ending"
    ending, advice = (state_words(seen), state_advice(seen)) if ends else ("", ())
    if seen.produced or seen.moved:
        tokens = seen.rise("generation_tokens")
        gave = f"{tokens:.0f} tokens generated and {seen.rise('iterations'):.0f} steps in {seen.seconds:.0f} s"
        return Finding("no_hang", "certain", told(gave, requests(seen), health_words(seen), ending), advice)
    if seen.work:
        return None
    answered = f"a test request was answered in {seen.canary_seconds:.2f} s" if seen.canary == "ok" else ""
    sure: Certainty = "certain" if answered else "likely"
    return Finding("no_hang", sure, told("no requests", answered, health_words(seen), ending), advice)

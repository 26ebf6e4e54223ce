"""Tells whether an engine moves, by looks at it and by samples of it."""

from __future__ import annotations

from vllm_healer.model import Look, Signal, Signals

# What the part inside vLLM adds: one engine of several that stands still, an API server that does nothing.
ENGINE_AGE = "server:vllm_engine_progress_age_seconds:max"
SILENT = "server:vllm_api_server_silent_seconds:max"
SILENT_LIMIT = "server:vllm_api_server_silent_limit_seconds:max"  # longer than it ever did and came back
FROM_INSIDE = frozenset({ENGINE_AGE, SILENT})
CORE_SILENT = "server:vllm_engine_core_silent_seconds:max"  # one of its engine cores does nothing, idle or not
CORE_LIMIT = "server:vllm_threshold:engine_core_frozen_seconds"
MOTIONLESS = "server:vllm_api_server_motionless_seconds:max"  # from outside: stopped, or silent without computing
WORTH_SAYING = 5.0  # seconds: an API server writes each quarter of one, and is read each second


def fresh(signal: Signal | None, max_age: float) -> float | None:
    """The signal's value, or None when it is absent or too old to be evidence."""
    return signal.value if signal is not None and signal.age <= max_age else None


def reached(value: Signal | None, limit: Signal | None, max_age: float) -> bool:
    """True if both are known and fresh, and the value has reached the limit."""
    now, allowed = fresh(value, max_age), fresh(limit, max_age)
    return now is not None and allowed is not None and now >= allowed


def moved(earlier: Look | None, look: Look) -> bool:
    """True if an engine-pushed value changed since an earlier look, or while this look's canary waited."""
    values = (earlier.work if earlier is not None else None, look.work_before, look.work)
    return len({shown for shown in values if shown is not None}) > 1


def inside_words(signals: Signals | None, max_age: float) -> str:
    """Words for what is known from inside and is not well, or ''."""
    if signals is None:
        return ""
    age, silent = (fresh(signals.more.get(name), max_age) for name in (ENGINE_AGE, SILENT))
    limit = fresh(signals.stall_limit, max_age)
    said = []
    if age is not None and limit is not None and age >= limit:
        said.append(
            f"one of its engines has stood still for {age:.0f} s with requests of its own (limit {limit:.0f} s)"
        )
    if silent is not None and silent >= WORTH_SAYING:
        said.append(
            f"one of its API servers has done nothing for {silent:.0f} s: stopped, or its event loop is blocked"
        )
    return "; ".join(said)

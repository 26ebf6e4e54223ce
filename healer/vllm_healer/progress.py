"""Tells whether an engine moves, by looks at it and by samples of it."""

from __future__ import annotations

from vllm_healer.model import Look, Signal


def fresh(signal: Signal | None, max_age: float) -> float | None:
    """The signal's value, or None when it is absent or too old to be evidence."""
    return signal.value if signal is not None and signal.age <= max_age else None


def moved(earlier: Look | None, look: Look) -> bool:
    """True if an engine-pushed value changed since an earlier look, or while this look's canary waited."""
    values = (earlier.work if earlier is not None else None, look.work_before, look.work)
    return len({shown for shown in values if shown is not None}) > 1

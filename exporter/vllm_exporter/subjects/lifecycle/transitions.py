"""Decides which state may follow which. A look once a second misses states, so that leaps forward are allowed."""

from __future__ import annotations

from vllm_exporter.subjects.lifecycle.states import DOWN, ENDING, NAMES, ORDER, RUNNING, STARTING

_END = ("engine_dead", *ENDING, *DOWN[2:])  # may follow any state of a living server
_READY = ("listening", *RUNNING)
_ONCE = ("ready_verified", "waking")  # have one way in


def allowed(old: str, new: str) -> bool:
    """True if `new` may follow `old`. Computed each time: changes are rare, and 42 sets of names would cost memory."""
    return new in followers(old)


def followers(name: str) -> frozenset[str]:
    if name in DOWN:
        return _after_down(name)
    if name in STARTING:
        later = NAMES[ORDER[name] + 1 : ORDER["listening"]]
        return frozenset((*later, *(set(_READY) - {"waking"}), *_END))
    if name == "engine_dead":
        return frozenset(("stopping", "exited", "orphaned", "start_failed", "crash_loop", "quarantined"))
    if name in ENDING:
        others = {"draining": ("aborting", "stopping"), "aborting": ("stopping",), "stopping": ("draining", "aborting")}
        return frozenset((*others[name], "engine_dead", *DOWN[2:]))
    return _after_ready(name)


def _after_down(name: str) -> frozenset[str]:
    """Allows a start. One that was not seen, as on another host, may appear in any state of a living server."""
    if name in ("absent", "preflight"):
        return frozenset(NAMES) - {name, "absent", "waking"}
    return frozenset((*DOWN[1:], *STARTING, *(set(_READY) - {"waking"}), *ENDING, "engine_dead")) - {name}


def _after_ready(name: str) -> frozenset[str]:
    usual = (set(RUNNING) | set(_END)) - set(_ONCE) - {name}
    if name == "listening":
        usual.add("ready_verified")
    if name in ("sleeping", "suspect", "stalled", "paused"):
        usual.add("waking")  # a sleep may be hidden by a pause that was seen first, or by time-outs of the wake-up
    if name in ("suspect", "stalled", "paused", "sleeping", "waking", "ft_recovery"):
        usual.add("ready_verified")  # what came before the first answer
    return frozenset(usual)

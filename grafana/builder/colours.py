"""When a value turns yellow or red, which words stand for a number, and which colour a thing has on every board."""

from __future__ import annotations

from collections.abc import Mapping

from grafana.builder.panel import Json

# The eye should be there before the alert is: yellow from this share of an alert's limit.
EARLY = 0.8

# The series is not there: nothing is known, which is neither good nor bad.
MISSING: Json = {"type": "special", "options": {"match": "null+nan", "result": {"text": "–", "color": "text"}}}

# server:vllm_state:code. Grey is what a person wanted.
STATES: Mapping[int, tuple[str, str]] = {
    0: ("ready", "green"),
    1: ("starting", "blue"),
    2: ("degraded", "yellow"),
    3: ("suspicious", "orange"),
    4: ("stalled", "red"),
    5: ("down", "dark-red"),
    6: ("unknown", "purple"),
    7: ("asleep", "#808080"),
}

# The same thing has the same colour everywhere; Grafana's own palette would paint errors green.
MEANS: Mapping[str, str] = {
    "P50": "super-light-blue",
    "P95": "blue",
    "P99": "dark-blue",
    "P99.9": "purple",
    "queue": "orange",
    "prefill": "purple",
    "decode": "blue",
    "answered": "green",
    "failed": "red",
    "running": "blue",
    "waiting": "orange",
    "highest": "dark-blue",
    "median": "blue",
    "lowest": "super-light-blue",
    "critical": "red",
    "warning": "orange",
    "info": "blue",
    "internal": "red",
    "engine_dead": "dark-red",
    "oom": "purple",
    "in_stream": "semi-dark-red",
    "timeout": "dark-orange",
    "overload": "orange",
    "rate_limited": "light-orange",
    "validation": "yellow",
    "not_found": "light-yellow",
    "client_abort": "#808080",
    "HTTP 5xx": "red",
}


def steps(*changes: tuple[float, str]) -> Json:
    """Each colour from its value on; below the first, and where nothing is known, the colour of text: never green."""
    first: Json = {"value": None, "color": "text"}
    return {"mode": "absolute", "steps": [first, *({"value": value, "color": colour} for value, colour in changes)]}


def plain() -> Json:
    """No value is better than another."""
    return steps()


def up_to(limit: float) -> Json:
    """Red where the alert compares, yellow shortly before."""
    return steps((0, "green"), (round(EARLY * limit, 6), "yellow"), (limit, "red"))


def down_to(limit: float, early: float) -> Json:
    """Red below `limit`, yellow below `early`."""
    return steps((-1e9, "red"), (limit, "yellow"), (early, "green"))


def kv_cache() -> Json:
    """Above 80 % a burst of long prompts fills the rest; near 100 % vLLM preempts sequences and computes them again."""
    return steps((0, "green"), (0.80, "yellow"), (0.95, "red"))


def any_is(colour: str) -> Json:
    """For counts of what should not be."""
    return steps((0, "green"), (1, colour))


def words(meanings: Mapping[int, tuple[str, str]], missing: Json = MISSING) -> tuple[Json, ...]:
    """Text and colour that stand for a value: `{1: ("ready", "green")}`. Other values stay numbers."""
    options = {str(value): {"text": text, "color": colour} for value, (text, colour) in meanings.items()}
    return {"type": "value", "options": options}, missing


def nothing_is(text: str) -> tuple[Json, ...]:
    """The words for NaN: there are series and they say nothing, as when nobody asks."""
    return ({"type": "special", "options": {"match": "nan", "result": {"text": text, "color": "text"}}},)

"""When a value turns yellow or red, and which words stand for a number."""

from __future__ import annotations

from collections.abc import Mapping

from grafana.builder.panel import Json

# The eye should be there before the alert is: yellow from this share of an alert's limit.
EARLY = 0.8

# The series is not there: nothing is known, which is neither good nor bad.
MISSING: Json = {"type": "special", "options": {"match": "null+nan", "result": {"text": "–", "color": "text"}}}


def steps(*changes: tuple[float, str], base: str = "green") -> Json:
    """`base`, then each colour from its value on."""
    first: Json = {"value": None, "color": base}
    return {"mode": "absolute", "steps": [first, *({"value": value, "color": colour} for value, colour in changes)]}


def plain() -> Json:
    """No value is better than another."""
    return steps(base="text")


def up_to(limit: float) -> Json:
    """Red where the alert compares, yellow shortly before."""
    return steps((round(EARLY * limit, 6), "yellow"), (limit, "red"))


def kv_cache() -> Json:
    """Above 80 % a burst of long prompts fills the rest; near 100 % vLLM preempts sequences and computes them again."""
    return steps((0.80, "yellow"), (0.95, "red"))


def any_is(colour: str) -> Json:
    """For counts of what should not be."""
    return steps((1, colour))


def words(meanings: Mapping[int, tuple[str, str]]) -> tuple[Json, ...]:
    """Text and colour that stand for a value: `{1: ("ready", "green")}`. Other values stay numbers."""
    options = {str(value): {"text": text, "color": colour} for value, (text, colour) in meanings.items()}
    return {"type": "value", "options": options}, MISSING

"""What a throttle may ask for, and the form of its file: docs/inside-vllm.md is its contract. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vllm_monitor.body_scan import UNKNOWN
from vllm_monitor.names import safe

VERSION = 1
MOST_LIMITS = 64
MOST_SECONDS = 86_400.0  # for which a throttle may be set; who needs it longer sets it again
LARGEST = 1e9
STATUSES = (429, 503)
RATES = ("requests_per_second", "tokens_per_second")


class BadThrottle(ValueError):
    """What is wrong with a throttle, and where."""


@dataclass(frozen=True)
class Limit:
    """At most so much of the requests that it is about: of all, or of those of a model, a tenant, a priority."""

    concurrency: int | None = None  # requests at once
    requests_per_second: float | None = None
    tokens_per_second: float | None = None  # generated
    model: str = ""  # '' is every one
    tenant: str = ""
    priority_from: int | None = None  # of vLLM: the larger, the later
    port: int = 0  # of the server; 0 is each that has this directory

    def covers(self, tenant: str, model: str, priority: int) -> bool:
        """True for a request of these. A model that was not seen may be any: else hiding it would be the way out."""
        return (
            self.tenant in ("", tenant)
            and (self.model in ("", model) or model == UNKNOWN)
            and (self.priority_from is None or priority >= self.priority_from)
        )

    @property
    def reads_body(self) -> bool:
        """True if only the body tells whether it covers a request."""
        return bool(self.model) or self.priority_from is not None


@dataclass(frozen=True)
class Order:
    """A throttle as somebody set it."""

    generation: int  # larger than that of the order before
    expires: float  # seconds since 1970
    limits: tuple[Limit, ...] = ()  # none: the throttle is off
    status: int = 429


def parse_order(text: bytes) -> Order:
    """Raises BadThrottle."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise BadThrottle("it is no JSON") from None
    if not isinstance(given, dict) or given.get("version") != VERSION:
        raise BadThrottle(f"it must be an object with version {VERSION}")
    _known(given, ("version", "generation", "expires", "status", "limits"), "a throttle")
    generation = _number(given, "generation", "a throttle", least=1.0, whole=True, most=2.0**53)
    expires = _number(given, "expires", "a throttle", most=1e11)
    if generation is None or expires is None:
        raise BadThrottle("it needs generation and expires")
    return Order(int(generation), expires, parse_limits(given.get("limits")), parse_status(given.get("status", 429)))


def parse_limits(given: Any) -> tuple[Limit, ...]:
    """Raises BadThrottle."""
    if not isinstance(given, list) or len(given) > MOST_LIMITS:
        raise BadThrottle(f"limits must be a list of at most {MOST_LIMITS}")
    return tuple(_limit(one, f"limit {number}") for number, one in enumerate(given, 1))


def parse_status(given: Any) -> int:
    """Raises BadThrottle."""
    if isinstance(given, bool) or given not in STATUSES:
        raise BadThrottle("status must be 429 or 503")
    return int(given)


def format_order(order: Order) -> bytes:
    """Returns what `parse_order` reads."""
    limits = [format_limit(limit) for limit in order.limits]
    head = {"version": VERSION, "generation": order.generation, "expires": order.expires, "status": order.status}
    return (json.dumps({**head, "limits": limits}, indent=1) + "\n").encode()


def format_limit(limit: Limit) -> dict[str, Any]:
    """Returns the keys that say something."""
    return {
        key: value for key, value in asdict(limit).items() if value not in (None, "") and (key, value) != ("port", 0)
    }


def _limit(given: Any, what: str) -> Limit:
    if not isinstance(given, dict):
        raise BadThrottle(f"{what} must be an object")
    _known(given, tuple(Limit.__dataclass_fields__), what)
    concurrency = _number(given, "concurrency", what, whole=True)
    rates = {name: _number(given, name, what) for name in RATES}
    if concurrency is None and all(rate is None for rate in rates.values()):
        raise BadThrottle(f"{what} limits nothing; give concurrency, {' or '.join(RATES)}")
    priority = _number(given, "priority_from", what, least=-LARGEST, whole=True)
    return Limit(
        None if concurrency is None else int(concurrency),
        **rates,
        model=_word(given, "model", what),
        tenant=_word(given, "tenant", what),
        priority_from=None if priority is None else int(priority),
        port=int(_number(given, "port", what, whole=True, most=65_535) or 0),
    )


def _known(given: Mapping[str, Any], names: tuple[str, ...], what: str) -> None:
    unknown = next((str(key) for key in given if key not in names), None)
    if unknown is not None:
        raise BadThrottle(f"{what} has no {safe(unknown)!r}; known: {', '.join(names)}")


def _number(
    given: Mapping[str, Any], key: str, what: str, least: float = 0.0, most: float = LARGEST, whole: bool = False
) -> float | None:
    value = given.get(key)
    if value is None:
        return None
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not least <= value <= most or (whole and value != int(value)):
        raise BadThrottle(f"{key} of {what} must be a {'whole ' * whole}number from {least:g} to {most:g}")
    return float(value)


def _word(given: Mapping[str, Any], key: str, what: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise BadThrottle(f"{key} of {what} must be text")
    return safe(value)

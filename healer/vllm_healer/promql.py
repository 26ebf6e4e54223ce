"""The queries that Prometheus is asked, and the reading of its answers. Pure.

One query brings values and ages of all signals, so that both are of the same moment. An age is computed there, from
Prometheus' clock and its own timestamps: the healer's clock may differ. `timestamp()` drops a series' name, hence the
label `healer_term` ("stalled/age") on each term, which also keeps the terms of `or` apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from vllm_healer.errors import Blind
from vllm_healer.model import Signal, Signals
from vllm_healer.printable import shown

# Field of Signals -> the exporter's series.
SERIES = {
    "stalled": "vllm_server_stalled",
    "progress_age": "vllm_server_progress_age_seconds",
    "stall_limit": "vllm_server_stall_limit_seconds",
    "work_present": "vllm_server_work_present",
    "running": "vllm_num_running_sequences",
    "waiting": "vllm_num_waiting_sequences",
    "canary_failures": "vllm_canary_consecutive_failures",
    "orphans": "vllm_process_orphans",
}
HEALTHY, STALLED = 'vllm_probe_health{result="ok",%s}', "vllm_server_stalled{%s}"

_TERM = "healer_term"


def signals_query(server: str, more: frozenset[str]) -> str:
    """The query for one server. `more` names series beyond SERIES; the name of each is its field."""
    series = {**SERIES, **{name: name for name in sorted(more)}}
    return _query({field: f"{name}{{server={quote(server)}}}" for field, name in series.items()})


def healthy_query(servers: frozenset[str]) -> str:
    matcher = f"server=~{quote('|'.join(escape_regex(server) for server in sorted(servers)))}"
    return _query({"healthy": HEALTHY % matcher, "stalled": STALLED % matcher})


def _query(selectors: Mapping[str, str]) -> str:
    terms = [
        f'label_replace({expression}, "{_TERM}", "{field}/{kind}", "", "")'
        for field, selector in selectors.items()
        for kind, expression in (("value", selector), ("age", f"time() - timestamp({selector})"))
    ]
    return " or ".join(terms)


def parse_signals(answer: object, who: str) -> Signals:
    """The signals; absent series are None. Of several series (two exporters) the freshest counts."""
    fresh: dict[str, Signal] = {}
    for field, _, signal in parse_samples(answer, who):
        if field not in fresh or signal.age < fresh[field].age:
            fresh[field] = signal
    more = {field: signal for field, signal in fresh.items() if field not in SERIES}
    return Signals(**{field: signal for field, signal in fresh.items() if field in SERIES}, more=more)


def parse_healthy(answer: object, max_age: float, who: str) -> frozenset[str]:
    """The servers that fresh samples show healthy and not stalled; without a sample of either nothing is shown."""
    fresh = [
        (field, signal.value, labels.get("server", ""))
        for field, labels, signal in parse_samples(answer, who)
        if signal.age <= max_age
    ]

    def saying(field: str, value: float) -> set[str]:
        return {server for name, number, server in fresh if (name, number) == (field, value)}

    return frozenset((saying("healthy", 1.0) & saying("stalled", 0.0)) - saying("stalled", 1.0))


def parse_samples(answer: object, who: str) -> list[tuple[str, dict[str, str], Signal]]:
    """The samples as (field, labels, value with its age). What has no age, or is no number, counts as absent."""
    found: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = {"value": {}, "age": {}}
    for labels, number in _vector(answer, who):
        field, _, kind = labels.pop(_TERM, "").partition("/")
        labels.pop("__name__", None)
        if kind in found and math.isfinite(number):
            found[kind][field, frozenset(labels.items())] = number
    ages = found["age"]
    # A sample from the future is as far from now as one from the past, hence abs().
    return [(key[0], dict(key[1]), Signal(v, abs(ages[key]))) for key, v in found["value"].items() if key in ages]


def _vector(answer: object, who: str) -> list[tuple[dict[str, str], float]]:
    """The (labels, value) of each sample of an instant vector. Raises Blind on anything else."""
    try:
        if not isinstance(answer, dict) or answer["status"] != "success" or answer["data"]["resultType"] != "vector":
            raise Blind(f"{who} answered no vector: {shown(answer)}")
        samples = answer["data"]["result"]
        return [
            ({str(key): str(value) for key, value in sample["metric"].items()}, float(sample["value"][1]))
            for sample in samples
        ]
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        raise Blind(f"{who} answered samples that cannot be read: {shown(answer)}") from None


def quote(text: str) -> str:
    """The text as a PromQL string. A server's name comes from alerts, so it is never trusted to be plain."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def escape_regex(text: str) -> str:
    """The text escaped for RE2, which knows fewer escapes than Python: re.escape would break on a space."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)

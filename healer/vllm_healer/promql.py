"""The queries that Prometheus is asked, and the reading of its answers. Pure.

One query brings values and ages of all signals, so that both are of the same moment. An age is computed there, from
Prometheus' clock and its own timestamps: the healer's clock may differ. `timestamp()` drops a series' name, hence the
label `healer_term` ("stalled/age") on each term, which also keeps the terms of `or` apart.

That moment need not be now: VictoriaMetrics answers for 30 s ago (-search.latencyOffset) and dates its samples now, a
cache answers what it was asked before. So the query also brings `time()`, and what it and the samples are older than
the answer is added to the ages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

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
FAULT, MODE = "server_mode:vllm_fault:group", "failure_mode"  # one sample for each failure mode that an alert tells of
HEALTHY, STALLED = 'vllm_probe_health{result="ok",%s}', "vllm_server_stalled{%s}"

_TERM = "healer_term"
_NOW = f'label_replace(vector(time()), "{_TERM}", "now/value", "", "")'
_CUT = 1.0  # seconds: the header Date, by which an answer is dated, has whole ones and is cut off


def signals_query(server: str, more: frozenset[str]) -> str:
    """The query for one server. `more` names series beyond SERIES; the name of each is its field."""
    series = {**SERIES, **{name: name for name in sorted(more)}, FAULT: FAULT}
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
    return " or ".join([*terms, _NOW])


def parse_signals(answer: object, at: float, who: str) -> Signals:
    """The signals; absent series are None. Of several series (two exporters) the freshest counts.

    `at`: when it was answered, in seconds since the epoch; so too below.
    """
    fresh: dict[str, Signal] = {}
    faults: dict[str, Signal] = {}
    for field, labels, signal in parse_samples(answer, at, who):
        kept, name = (faults, labels.get(MODE, "")) if field == FAULT else (fresh, field)
        if name not in kept or signal.age < kept[name].age:
            kept[name] = signal
    more = {field: signal for field, signal in fresh.items() if field not in SERIES}
    known = {field: signal for field, signal in fresh.items() if field in SERIES}
    return Signals(**known, more=more, faults=faults)


def parse_healthy(answer: object, at: float, max_age: float, who: str) -> frozenset[str]:
    """The servers that fresh samples show healthy and not stalled; without a sample of either nothing is shown."""
    fresh = [
        (field, signal.value, labels.get("server", ""))
        for field, labels, signal in parse_samples(answer, at, who)
        if signal.age <= max_age
    ]

    def saying(field: str, value: float) -> set[str]:
        return {server for name, number, server in fresh if (name, number) == (field, value)}

    return frozenset((saying("healthy", 1.0) & saying("stalled", 0.0)) - saying("stalled", 1.0))


def parse_samples(answer: object, at: float, who: str) -> list[tuple[str, dict[str, str], Signal]]:
    """The samples as (field, labels, value with its age). What has no age, or is no number, counts as absent."""
    found: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = {"value": {}, "age": {}}
    moments = [at]
    for labels, number, moment in _vector(answer, who):
        field, _, kind = labels.pop(_TERM, "").partition("/")
        labels.pop("__name__", None)
        if kind in found and math.isfinite(number):
            found[kind][field, frozenset(labels.items())] = number
            moments += [moment, number] if field == "now" else [moment]
    late, ages = lateness(moments, at), found["age"]
    # A sample from the future is as far from now as one from the past, hence abs().
    dated = {key: Signal(value, abs(ages[key]) + late) for key, value in found["value"].items() if key in ages}
    return [(field, dict(labels), signal) for (field, labels), signal in dated.items()]


def lateness(moments: Iterable[float], at: float) -> float:
    """The seconds between `at` and the moment that is furthest from it; infinite when one is no number."""
    return max(_apart(moment, at) for moment in moments)


def _apart(moment: float, at: float) -> float:
    if not math.isfinite(moment):
        return math.inf
    return at - moment if moment <= at else max(0.0, moment - at - _CUT)


def _vector(answer: object, who: str) -> list[tuple[dict[str, str], float, float]]:
    """The (labels, value, timestamp) of each sample of an instant vector. Raises Blind on anything else."""
    try:
        if not isinstance(answer, dict) or answer["status"] != "success" or answer["data"]["resultType"] != "vector":
            raise Blind(f"{who} answered no vector: {shown(answer)}")
        return [
            ({str(key): str(value) for key, value in sample["metric"].items()}, *_numbers(sample["value"]))
            for sample in answer["data"]["result"]
        ]
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        raise Blind(f"{who} answered samples that cannot be read: {shown(answer)}") from None


def _numbers(pair: list[object]) -> tuple[float, float]:
    """The value and the timestamp of a sample; Prometheus writes the one as text, the other as a number."""
    moment, value = pair
    return float(str(value)), float(str(moment))


def quote(text: str) -> str:
    """The text as a PromQL string. A server's name comes from alerts, so it is never trusted to be plain."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def escape_regex(text: str) -> str:
    """The text escaped for RE2, which knows fewer escapes than Python: re.escape would break on a space."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)

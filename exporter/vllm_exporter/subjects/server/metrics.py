"""Reads the engines' values from the text of vLLM's /metrics, of every release from 0.6 on. Pure.

Only the lines of the wanted families are parsed: 0.2 ms for the 50 kB of a real answer, where a full parser takes 7 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.engine import EngineReading, count_blocks

# Concept to names, the newest first. One of those that the text has is taken: where a release has both, they are equal.
NAMES: dict[str, tuple[bytes, ...]] = {
    "running": (b"vllm:num_requests_running",),
    "waiting": (b"vllm:num_requests_waiting",),
    "swapped": (b"vllm:num_requests_swapped",),  # V0, until 0.9.0
    "kv_usage": (b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"),  # renamed in 0.9.2
    "iterations": (b"vllm:iteration_tokens_total_count",),  # a histogram of tokens per step; 0.6.4 on
    "preemptions": (b"vllm:num_preemptions_total",),
    "prefix_queries": (b"vllm:prefix_cache_queries_total", b"vllm:gpu_prefix_cache_queries_total"),  # renamed in 0.9.2
    "prompt_tokens": (b"vllm:prompt_tokens_total",),
    "generation_tokens": (b"vllm:generation_tokens_total",),
    "awake": (b"vllm:engine_sleep_state",),  # 0.11.1 on; one series per engine and state
}
AWAKE = b'sleep_state="awake"'
CACHE_CONFIG = b"vllm:cache_config_info"  # its labels are the fields of vLLM's CacheConfig
HTTP_REQUESTS = b"http_requests_total"  # of prometheus-fastapi-instrumentator, 0.8.3 on
SERVER_ERROR = b'status="5xx"'
STARTED = b"process_start_time_seconds"  # of prometheus_client
WANTED = (*(name for names in NAMES.values() for name in names), CACHE_CONFIG, HTTP_REQUESTS, STARTED)

Samples = Mapping[bytes, list[tuple[bytes, bytes]]]  # name to labels and the rest of each of its lines
Concepts = dict[str, dict[str, float]]  # concept to the value of each engine, '' where there is no such label


def parse_engine(text: bytes) -> EngineValues | None:
    """Returns all engines together. None and SourceError as in `parse_metrics`."""
    reading = parse_metrics(text)
    return None if reading is None else reading.values


def parse_metrics(text: bytes) -> EngineReading | None:
    """Returns None when there are no vllm: families (--disable-log-stats, or not vLLM at all).

    Raises SourceError when the text is cut or damaged where it matters: a wrong number is worse than none.
    """
    if not text.startswith(b"vllm:") and b"\nvllm:" not in text:
        return None
    samples = find_samples(whole_families(text))
    found: Concepts = {}
    for concept, names in NAMES.items():
        name = next((name for name in names if name in samples), None)
        if name is not None:
            found[concept] = by_engine(((labels, parse_value(name, rest)) for labels, rest in samples[name]), concept)
    for concept in ("running", "waiting"):
        if concept not in found:
            missing = NAMES[concept][0].decode()
            raise SourceError(f"/metrics has vllm: families but not {missing}; the text seems to be cut")
    config = samples.get(CACHE_CONFIG, [(b"", b"")])[0][0]
    started = samples.get(STARTED, [(b"", b"")])[0][1]
    return make_reading(found, parse_block_count(config), parse_start(started), count_failed(samples))


def whole_families(text: bytes) -> bytes:
    """Drops the last family if the last line has no line break: samples of it may be missing, and a sum without them
    would be wrong."""
    return text if text.endswith(b"\n") else text[: text.rfind(b"\n# ") + 1]


def find_samples(text: bytes) -> Samples:
    """Returns the lines of the wanted families."""
    found: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for line in text.split(b"\n"):
        if line.startswith(WANTED):
            head, brace, rest = line.rpartition(b"}")
            if brace:
                name, _, labels = head.partition(b"{")
            else:
                (name, _, rest), labels = line.partition(b" "), b""
            found.setdefault(name, []).append((labels, rest))  # a longer name that begins alike is never looked up
    return found


def parse_value(name: bytes, rest: bytes) -> float:
    """Parses the text after the labels: a value, perhaps a time. Raises SourceError when it is no finite number."""
    words = rest.split()
    try:
        value = float(words[0]) if words and b"_" not in words[0] else float("nan")
    except ValueError:
        value = float("nan")
    if not isfinite(value) or len(words) > 2:
        raise SourceError(f"/metrics: {name.decode()} has {rest[:40]!r} where a number should be")
    return value


def count_failed(samples: Samples) -> float | None:
    """Returns the number of requests answered with 5xx; None in releases that do not count them."""
    lines = samples.get(HTTP_REQUESTS)
    if lines is None:
        return None
    return sum(parse_value(HTTP_REQUESTS, rest) for labels, rest in lines if SERVER_ERROR in labels)


def make_reading(
    found: Mapping[str, Mapping[str, float]], blocks: int, started: float | None, failed: float | None
) -> EngineReading:
    """Returns the reading. `blocks` are the KV blocks of all engines together, as each of them reports (0.9.0 on)."""
    names = tuple(found["running"])
    awake = found.get("awake")
    totals = {
        concept: (max if concept == "kv_usage" else sum)(values.values())
        for concept, values in found.items()
        if concept != "awake" and values
    }
    total = EngineValues(**totals, awake=all(awake.values()) if awake else None)
    engines = dict.fromkeys(names, total) if len(names) == 1 else {name: _one(found, name) for name in names}
    shown = {name or "0": values for name, values in engines.items()}
    own = 0 if "" in names else 1  # V1, which alone has the label, never uses block 0
    tables = {
        name: count_blocks(blocks // len(shown), values.kv_usage, own)
        for name, values in shown.items()
        if blocks and values.kv_usage is not None
    }
    return EngineReading(total, shown, tables, started, failed)


def _one(found: Mapping[str, Mapping[str, float]], engine: str) -> EngineValues:
    values = {concept: of.get(engine) for concept, of in found.items() if concept != "awake"}
    running, waiting = values.pop("running") or 0.0, values.pop("waiting") or 0.0
    awake = found.get("awake", {}).get(engine)
    return EngineValues(running, waiting, **values, awake=None if awake is None else bool(awake))


def by_engine(samples: Iterable[tuple[bytes, float]], concept: str) -> dict[str, float]:
    """Returns a value per engine: a sum, but of KV usage the maximum, and of sleep states 1 if it is awake."""
    values: dict[str, float] = {}
    for labels, value in samples:
        if concept == "awake":
            if AWAKE not in labels:
                continue
            value = float(value > 0)
        engine = engine_of(labels)
        old = values.get(engine)
        if old is not None:
            value = min(old, value) if concept == "awake" else max(old, value) if concept == "kv_usage" else old + value
        values[engine] = value
    return values


def engine_of(labels: bytes) -> str:
    """Returns the value of the label `engine`; '' without one."""
    start = 0 if labels.startswith(b'engine="') else labels.find(b',engine="') + 1
    if not labels.startswith(b'engine="', start):
        return ""
    start += len(b'engine="')
    return labels[start : labels.find(b'"', start)].decode("ascii", "replace")


def parse_block_count(labels: bytes) -> int:
    """Parses the labels of cache_config_info. 0: not reported ("None" in V1 before 0.9.0), or no number."""
    _, found, rest = labels.partition(b'num_gpu_blocks="')
    number = rest.partition(b'"')[0]
    return int(number) if found and number.isdigit() else 0


def parse_start(value: bytes) -> float | None:
    """Returns Unix time; None when it is not reported, or no time."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds > 0 else None

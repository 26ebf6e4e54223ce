"""Reads the engines' values from the text of vLLM's /metrics, of every release from 0.6 on. Pure.

Only the samples of the wanted families are parsed: 0.2 ms for the 50 kB of a real answer, where a full parser takes
7 ms. A value that cannot be (NaN, infinite, negative) is left out, and the others stay.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite, nan

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.engine import COUNTERS, EngineReading, count_blocks
from vllm_exporter.subjects.server.page import (
    QUOTED,
    USUAL,
    Samples,
    find_prefix,
    find_samples,
    is_cut,
    label,
    whole_families,
)

# Concept to names behind the prefix, the newest first. One of those that the text has is taken: where a release has
# both, they are equal. Ray may leave `_total` out.
NAMES: dict[str, tuple[bytes, ...]] = {
    "running": (b"num_requests_running",),
    "waiting": (b"num_requests_waiting",),
    "swapped": (b"num_requests_swapped",),  # V0, until 0.9.0
    "kv_usage": (b"kv_cache_usage_perc", b"gpu_cache_usage_perc"),  # renamed in 0.9.2
    "iterations": (b"iteration_tokens_total_count",),  # a histogram of tokens per step; 0.6.4 on
    "preemptions": (b"num_preemptions_total", b"num_preemptions"),
    "prefix_queries": (  # renamed in 0.9.2
        b"prefix_cache_queries_total",
        b"gpu_prefix_cache_queries_total",
        b"prefix_cache_queries",
    ),
    "prompt_tokens": (b"prompt_tokens_total", b"prompt_tokens"),
    "generation_tokens": (b"generation_tokens_total", b"generation_tokens"),
    "awake": (b"engine_sleep_state",),  # 0.11.1 on; one series per engine and state
}
OF_ENGINES = tuple(name for names in NAMES.values() for name in names)
AWAKE = b'sleep_state="awake"'
CACHE_CONFIG = b"cache_config_info"  # its labels are the fields of vLLM's CacheConfig
HTTP_REQUESTS = b"http_requests_total"  # of prometheus-fastapi-instrumentator, 0.8.3 on
SERVER_ERROR = re.compile(rb"5(?:xx|\d\d)")  # grouped as vLLM does, or not, as packages around it may
STARTED = b"process_start_time_seconds"  # of prometheus_client
MAX_ENGINES = 256  # of one server: it shows a number of series for each
WORKER_DIGITS = 12  # of Ray's WorkerId, which has 56: enough to tell the processes of a node apart
MAX_BLOCK_DIGITS = 12  # a billion blocks are a petabyte of KV cache

_ENGINE = re.compile(rb"[0-9]{1,6}")
_WORKER = re.compile(rb"[0-9A-Za-z]{1,64}")

Concepts = dict[str, dict[str, float]]  # concept to the value of each engine, '' where there is no such label


def parse_engine(text: bytes) -> EngineValues | None:
    """Returns all engines together. None and SourceError as in `parse_metrics`."""
    reading = parse_metrics(text)
    return None if reading is None else reading.values


def parse_metrics(text: bytes, whole: bool = False) -> EngineReading | None:
    """Returns None when there are no families of vLLM's engine (--disable-log-stats, or not vLLM at all).

    `whole`: the text is known to be whole, so that a last line without an end is not cut.

    Raises SourceError when the text is cut or damaged where it matters, has vLLM's families under another name, or
    more or other engines than vLLM could have: a wrong number is worse than none.
    """
    cut = is_cut(text) and not whole
    prefix = find_prefix(text, OF_ENGINES)
    if prefix is None:
        return None
    samples = find_samples(
        whole_families(text) if cut else text, prefix, (*OF_ENGINES, CACHE_CONFIG), (HTTP_REQUESTS, STARTED)
    )
    found: Concepts = {}
    for concept, names in NAMES.items():
        name = next((name for name in names if name in samples), None)
        if name is not None:
            values = ((labels, parse_value(prefix + name, rest)) for labels, rest in samples[name])
            found[concept] = by_engine(values, concept)
    for concept in ("running", "waiting"):
        if concept not in found:
            missing = (prefix + NAMES[concept][0]).decode()
            why = "; the text seems to be cut" if cut else ""
            raise SourceError(f"/metrics has {prefix.decode()} families but not {missing}{why}")
    config = samples.get(CACHE_CONFIG, [(b"", b"")])[0][0]
    started = samples.get(STARTED, [(b"", b"")])[0][1] if prefix == USUAL else b""  # else of the process between
    return make_reading(found, parse_block_count(config), parse_start(started), count_failed(samples))


def parse_value(name: bytes, rest: bytes) -> float:
    """Parses the text after the labels: a value, perhaps a time. NaN stands for each value that cannot be.

    Raises SourceError when it is no number.
    """
    words = rest.split()
    try:
        if not words or b"_" in words[0] or len(words) > 2:
            raise ValueError
        value = float(words[0])
    except ValueError:
        raise SourceError(f"/metrics: {name.decode()} has {rest[:QUOTED]!r} where a number should be") from None
    return value if isfinite(value) and value >= 0 else nan


def count_failed(samples: Samples) -> float | None:
    """Returns the number of requests answered with 5xx; None in releases that do not count them."""
    lines = samples.get(HTTP_REQUESTS)
    if lines is None:
        return None
    failed = sum(
        parse_value(HTTP_REQUESTS, rest)
        for labels, rest in lines
        if b"5" in labels and SERVER_ERROR.fullmatch(label(labels, b"status") or b"")
    )
    return failed if isfinite(failed) else None


def make_reading(
    found: Mapping[str, Mapping[str, float]], blocks: int, started: float | None, failed: float | None
) -> EngineReading:
    """Returns the reading. `blocks` are the KV blocks of all engines together, as each of them reports (0.9.0 on)."""
    names = tuple(dict.fromkeys((*found["running"], *found["waiting"])))
    awake = found.get("awake")
    totals = {concept: _total(concept, of.values()) for concept, of in found.items() if concept != "awake"}
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


def _total(concept: str, values: Collection[float]) -> float | None:
    """Returns the value of all engines: of a gauge those that are known, of a counter none when one is not known, since
    a counter that falls is that of another process."""
    known = [value for value in values if isfinite(value)]
    if not known or (concept in COUNTERS and len(known) < len(values)):
        return None
    return max(known) if concept == "kv_usage" else sum(known)


def _one(found: Mapping[str, Mapping[str, float]], engine: str) -> EngineValues:
    values = {concept: of.get(engine, nan) for concept, of in found.items()}
    known = {concept: value if isfinite(value) else None for concept, value in values.items()}
    awake = known.pop("awake", None)
    return EngineValues(**known, awake=None if awake is None else bool(awake))


def by_engine(samples: Iterable[tuple[bytes, float]], concept: str) -> dict[str, float]:
    """Returns a value per engine: a sum, but of KV usage the maximum, and of sleep states 1 if it is awake. NaN: not
    known. Raises SourceError for engines that cannot be vLLM's."""
    values: dict[str, list[float]] = {}
    for labels, value in samples:
        if concept != "awake":
            values.setdefault(engine_of(labels), []).append(value)
        elif AWAKE in labels and isfinite(value):
            values.setdefault(engine_of(labels), []).append(float(value > 0))
    if len(values) > MAX_ENGINES:
        raise SourceError(f"/metrics has {len(values)} engines; a server with more than {MAX_ENGINES} is not read")
    return {engine: _engine_value(concept, several) for engine, several in values.items()}


def _engine_value(concept: str, several: Sequence[float]) -> float:
    if concept == "awake":
        return min(several)
    total = _total(concept, several)
    return nan if total is None else total


def engine_of(labels: bytes) -> str:
    """Returns the name of the engine: of the label `engine`, behind that of Ray's process; '' without both.

    Raises SourceError when it is none that vLLM or Ray gives.
    """
    engine, worker = label(labels, b"engine"), label(labels, b"WorkerId")
    for what, name, form in (("engine", engine, _ENGINE), ("WorkerId", worker, _WORKER)):
        if name and not form.fullmatch(name):
            raise SourceError(f"/metrics: {what}={name[:QUOTED]!r} is no engine of vLLM")
    parts = (worker[:WORKER_DIGITS] if worker else b"", engine or b"")
    return b"_".join(part for part in parts if part).decode()


def parse_block_count(labels: bytes) -> int:
    """Parses the labels of cache_config_info. 0: not reported ("None" in V1 before 0.9.0), or no number that can be."""
    number = label(labels, b"num_gpu_blocks") or b""
    return int(number) if number.isdigit() and len(number) <= MAX_BLOCK_DIGITS else 0


def parse_start(value: bytes) -> float | None:
    """Returns Unix time; None when it is not reported, or no time."""
    try:
        seconds = float(value.split()[0])
    except (ValueError, IndexError):
        return None
    return seconds if isfinite(seconds) and seconds > 0 else None

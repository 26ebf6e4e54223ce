"""Reads the engines' values from the text of vLLM's /metrics, of every release from 0.6 on.

find() jumps from one wanted family to the next, in the order in which they stood last time: one pass over the 50 kB of
a real answer, 60 µs in all. A full parser takes 7 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.subjects.server.engine import Reading, count_blocks
from vllm_exporter.subjects.server.incarnation import SAME_START
from vllm_exporter.subjects.server.page import Page

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
}
SLEEP_STATE = b"vllm:engine_sleep_state"  # 0.11.1 on; one series per engine and state
AWAKE = b'sleep_state="awake"'
CACHE_CONFIG = b"vllm:cache_config_info"  # its labels are the fields of vLLM's CacheConfig
HTTP_REQUESTS = b"http_requests_total"  # of prometheus-fastapi-instrumentator, 0.8.3 on
SERVER_ERROR = b'status="5xx"'
STARTED = b"\nprocess_start_time_seconds "  # of prometheus_client, before vLLM's own families

Found = dict[str, dict[str, float]]  # concept to the value of each engine, '' where there is no such label
Wanted = tuple[str, bytes]  # concept and name


def parse_engine(text: bytes) -> EngineValues | None:
    """All engines together. None and SourceError as in Scanner.scan."""
    reading = Scanner().scan(bytearray(b"\n" + text), 1, len(text) + 1)
    return None if reading is None else reading.values


class Scanner:
    """Of one server: remembers in which order its families stand."""

    def __init__(self) -> None:
        self._order: list[Wanted] = [(concept, name) for concept, several in NAMES.items() for name in several]
        self._order += [("awake", SLEEP_STATE), ("blocks", CACHE_CONFIG)]
        self._config = b""  # the line of which _blocks was read
        self._blocks = 0
        self._start_line = b""  # of which _started was read
        self._started: float | None = None
        self._tail = b""  # of the last text that was read, from the first family on that counts what vLLM does
        self._reading: Reading | None = None

    def scan(self, room: bytearray, start: int, end: int) -> Reading | None:
        """Reads room[start:end], before which a line break stands.

        None when there are no vllm: families (--disable-log-stats, or not vLLM at all). Raises SourceError when the
        text is cut or damaged where it matters: a wrong number is worse than none.
        """
        first = room.find(b"\nvllm:", start - 1, end)
        if first < 0:
            return None
        known = self._started
        self._read_start(room, start, first)
        requests = room.find(b"\n" + HTTP_REQUESTS, start - 1, first)
        first = requests if requests >= 0 else first
        if known == self._started and end - first == len(self._tail) and room.startswith(self._tail, first):
            return self._reading  # an idle server: only its process_* and python_* families, which come first, move
        self._tail = b""
        self._reading = replace(self._scan(Page(room, start, end)), started=self._started)
        self._tail = bytes(room[first:end])
        return self._reading

    def _read_start(self, room: bytearray, start: int, end: int) -> None:
        """When the process began, which says whether it is still the same one: 1 µs, and parsed once."""
        at = room.find(STARTED, start - 1, end)
        line = bytes(room[at + len(STARTED) : room.find(b"\n", at + 1)]) if at >= 0 else b""
        if line == self._start_line:
            return
        self._start_line, began = line, parse_start(line)
        if began is None or self._started is None or abs(began - self._started) > SAME_START:
            self._started = began  # else told a little differently each time

    def _scan(self, page: Page) -> Reading:
        found, blocks = self._find(page)
        for concept in ("running", "waiting"):
            if concept not in found:
                missing = NAMES[concept][0].decode()
                raise SourceError(f"/metrics has vllm: families but not {missing}; the text seems to be cut")
        return replace(make_reading(found, blocks), failed=count_failed(page))

    def _find(self, page: Page) -> tuple[Found, int]:
        """The values, and the number of KV blocks; 0: not told."""
        found: Found = {}
        blocks, at = 0, page.start
        sorted_already = True
        places: list[tuple[int, Wanted]] = []
        for concept, name in self._order:
            start = -1 if concept in found else page.seek(name, at)
            places.append((start if start >= 0 else page.end, (concept, name)))
            if start < 0:
                continue
            sorted_already = sorted_already and start >= at
            at = page.end_of_family(start)
            if concept == "blocks":
                blocks = self._read_blocks(page.line(start))
            else:
                found[concept] = _by_engine(page.samples(name, start, at), concept)
        if not sorted_already:
            self._order = [wanted for _, wanted in sorted(places, key=lambda place: place[0])]
        return found, blocks

    def _read_blocks(self, line: bytes) -> int:
        """Of the first series; the others say the same. Its labels are 1 kB, and stay as they are: read once."""
        if line != self._config:
            self._config, self._blocks = line, parse_block_count(line)
        return self._blocks


def count_failed(page: Page) -> float | None:
    """Requests that were answered with 5xx; None in releases that do not count them."""
    at = page.seek(HTTP_REQUESTS, page.start)
    if at < 0:
        return None
    end = page.end_of_family(at)
    if not page.has(SERVER_ERROR, at, end):
        return 0.0
    return sum(value for labels, value in page.samples(HTTP_REQUESTS, at, end) if SERVER_ERROR in labels)


def make_reading(found: Mapping[str, Mapping[str, float]], blocks: int) -> Reading:
    """`blocks` is the number of KV blocks of all engines together, which is what each of them says (0.9.0 on)."""
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
    return Reading(total, shown, tables)


def _one(found: Mapping[str, Mapping[str, float]], engine: str) -> EngineValues:
    values = {concept: by_engine.get(engine) for concept, by_engine in found.items() if concept != "awake"}
    running, waiting = values.pop("running") or 0.0, values.pop("waiting") or 0.0
    awake = found.get("awake", {}).get(engine)
    return EngineValues(running, waiting, **values, awake=None if awake is None else bool(awake))


def _by_engine(samples: Iterable[tuple[bytes, float]], concept: str) -> dict[str, float]:
    """Sums, but of the KV cache the fullest, and of the sleep states whether it is awake."""
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
    """The value of the label `engine`; '' without one."""
    start = 1 if labels.startswith(b'{engine="') else labels.find(b',engine="') + 1
    if not start:
        return ""
    start += len(b'engine="')
    return labels[start : labels.find(b'"', start)].decode("ascii", "replace")


def parse_block_count(line: bytes) -> int:
    """From the labels of cache_config_info. 0: not told ("None" in V1 before 0.9.0), or no number."""
    _, found, rest = line.partition(b'num_gpu_blocks="')
    number = rest.partition(b'"')[0]
    return int(number) if found and number.isdigit() else 0


def parse_start(value: bytes) -> float | None:
    """Unix time. None when it is not told, or no time."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds > 0 else None

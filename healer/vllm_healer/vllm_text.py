"""Reads what vLLM's own pages say: the values of /metrics that prove progress, and a 503. Pure and tolerant."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

# Engine-pushed values: each changes with the engine's steps and freezes with it. Per value its names from new to old;
# several engines add up.
WORK: tuple[tuple[str, ...], ...] = (
    ("vllm:num_requests_running",),
    ("vllm:num_requests_waiting",),
    ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    ("vllm:iteration_tokens_total_count",),
    ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    ("vllm:num_preemptions_total",),
    ("vllm:prompt_tokens_total",),
    ("vllm:generation_tokens_total",),
)
_NAMES = frozenset(name for names in WORK for name in names)
ABSENT = -1.0  # a value that this release does not have; not NaN, because that differs from itself

_SAMPLE = re.compile(r"^(vllm:\w+)(\{.*\})?[ \t]+(\S{1,400})", re.MULTILINE)  # no number is longer
# The header Server of every release (a front end on hyper sends none), and that of a stand-in on Python's own library.
# Of proxies there is no end, so none is named.
_OWN_SERVERS = ("uvicorn", "basehttp/")
# Headers that vLLM never sends with a 503, and what stands before servers does.
_NOT_VLLMS = ("via", "retry-after", "transfer-encoding", "x-envoy-upstream-service-time", "cf-ray", "l5d-proxy-error")
_UNCAUGHT = b"Internal Server Error"
_ASLEEP = ("vllm:engine_sleep_state", 'sleep_state="awake"')


def parse_work(text: str) -> tuple[float, ...] | None:
    """The values in the order of WORK; None when the page has none, as with --disable-log-stats."""
    sums: dict[str, float] = {}
    for name, _, value in _samples(text):
        if name in _NAMES:  # a page may hold a million others
            sums[name] = sums.get(name, 0.0) + value
    work = tuple(next((sums[name] for name in names if name in sums), ABSENT) for names in WORK)
    return None if all(value == ABSENT for value in work) else work


def parse_asleep(text: str) -> bool:
    """True if an engine says that it is not awake (0.11.1 and later; older releases do not say)."""
    name, label = _ASLEEP
    return any(sample == name and label in labels and value == 0.0 for sample, labels, value in _samples(text))


def is_scaling(text: str) -> bool:
    """True for the answer that elastic expert parallelism gives on every path until it is done (0.10 and later)."""
    return "currently scaling" in text.lower()


def is_page(body: bytes) -> bool:
    """True for a page that is made for people: vLLM has none on /health, whose answer is empty in every release."""
    return body.lstrip()[:1] == b"<"


def has_own_form(status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """True if a 503 or 500 has the form in which vLLM's /health says that its engine died, with nobody in between: no
    body or, in releases before 0.6, Starlette's words for an error that nobody caught (vllm-project/vllm#5060).

    `headers` by name in lower case. A proxy that answers /health itself, as Envoy does to drain, sends no body either.
    """
    own = headers.get("server", "uvicorn").lower().startswith(_OWN_SERVERS)
    signed = "server" in headers or "date" in headers  # uvicorn and hyper do; HAProxy's own answers have neither
    bare = not body or (status == 500 and body == _UNCAUGHT)
    return bare and signed and own and not any(name in headers for name in _NOT_VLLMS)


def is_version(document: object) -> bool:
    """True for vLLM's answer on /version (0.4 and later)."""
    return isinstance(document, dict) and isinstance(document.get("version"), str)


def _samples(text: str) -> Iterator[tuple[str, str, float]]:
    """The (name, labels, value) of each line that is a sample of vLLM with a finite value; others are passed over.

    NaN differs from itself, so it would look like progress.
    """
    for match in _SAMPLE.finditer(text):
        try:
            value = float(match[3])
        except ValueError:
            continue
        if math.isfinite(value):
            yield match[1], match[2] or "", value

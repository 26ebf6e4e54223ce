"""The few values of vLLM's /metrics that prove progress, whatever the release calls them. Pure and tolerant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# Engine-pushed values: each changes with the engine's steps and freezes with it. Per value its names from new to old,
# and how several engines become one number.
WORK: tuple[tuple[tuple[str, ...], Callable[[list[float]], float]], ...] = (
    (("vllm:num_requests_running",), sum),
    (("vllm:num_requests_waiting",), sum),
    (("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"), sum),
    (("vllm:iteration_tokens_total_count",), sum),
    (("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"), sum),
    (("vllm:num_preemptions_total",), sum),
    (("vllm:prompt_tokens_total",), sum),
    (("vllm:generation_tokens_total",), sum),
)
ABSENT = -1.0  # a value that this release does not have; not NaN, because that differs from itself

_SAMPLE = re.compile(r"^(vllm:\w+)(\{.*\})?[ \t]+(\S+)")
_ASLEEP = ("vllm:engine_sleep_state", 'sleep_state="awake"')


def parse_work(text: str) -> tuple[float, ...] | None:
    """The values in the order of WORK; None when the page has none, as with --disable-log-stats."""
    samples: dict[str, list[float]] = {}
    for name, _, value in _samples(text):
        samples.setdefault(name, []).append(value)
    work = tuple(_first(samples, names, together) for names, together in WORK)
    return None if all(value == ABSENT for value in work) else work


def parse_asleep(text: str) -> bool:
    """True if an engine says that it is not awake (0.11.1 and later; older releases do not say)."""
    name, label = _ASLEEP
    return any(sample == name and label in labels and value == 0.0 for sample, labels, value in _samples(text))


def _first(samples: dict[str, list[float]], names: tuple[str, ...], together: Callable[[list[float]], float]) -> float:
    return next((together(samples[name]) for name in names if name in samples), ABSENT)


def _samples(text: str) -> Iterator[tuple[str, str, float]]:
    """The (name, labels, value) of each line that is a sample of vLLM; any other line is passed over."""
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match:
            try:
                yield match[1], match[2] or "", float(match[3])
            except ValueError:
                continue

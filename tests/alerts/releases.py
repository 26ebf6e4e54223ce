"""What each release of vLLM shows at /metrics, as input of promtool, and what the rules must make of it.

The expectations are those of vLLM's documentation of each release and of captures, not of the rules: `EXPECTED`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXTRACT = Path(__file__).with_name("releases.json")
STEPS = 20
SCRAPE = "15s"  # the longest that the rules promise to take
AT = "5m"  # longer than twice the longest window at which a value is asked for, but for that of the prefix cache

# What a family counts in a scrape, or shows. Histograms: the bucket that takes all, sum and count.
GAUGES = {
    "vllm:num_requests_running": 3,
    "vllm:num_requests_waiting": 2,
    "vllm:kv_cache_usage_perc": 0.5,
    "vllm:gpu_cache_usage_perc": 0.5,
    "vllm:gpu_prefix_cache_hit_rate": 0.25,
}
COUNTERS = {
    "vllm:request_success_total": 30,
    "vllm:generation_tokens_total": 1500,
    "vllm:prompt_tokens_total": 3000,
    "vllm:num_preemptions_total": 15,
    "vllm:prefix_cache_queries_total": 100,
    "vllm:prefix_cache_hits_total": 25,
    "vllm:gpu_prefix_cache_queries_total": 100,
    "vllm:gpu_prefix_cache_hits_total": 25,
    "vllm:admission_rejections_total": 0,
}
HISTOGRAMS = {
    "vllm:e2e_request_latency_seconds": (5, 40, 10),
    "vllm:time_to_first_token_seconds": (0.5, 4, 10),
    "vllm:time_per_output_token_seconds": (0.075, 0.6, 10),
    "vllm:inter_token_latency_seconds": (0.075, 0.6, 10),
    "vllm:request_queue_time_seconds": (5, 40, 10),
    "vllm:request_prefill_time_seconds": (2.5, 20, 10),
    "vllm:request_decode_time_seconds": (5, 30, 10),
}
HTTP = {"2xx": 60, "4xx": 12, "5xx": 3}

# Canonical signal -> value for one engine, and the families of which one must be there for it.
EXPECTED: dict[str, tuple[float, tuple[str, ...]]] = {
    "requests_running:sum": (3, ("vllm:num_requests_running",)),
    "requests_waiting:sum": (2, ("vllm:num_requests_waiting",)),
    "kv_cache_usage_ratio:max": (0.5, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),
    "generation_tokens:rate1m": (100, ("vllm:generation_tokens_total",)),
    "prompt_tokens:rate1m": (200, ("vllm:prompt_tokens_total",)),
    "preemptions:rate1m": (1, ("vllm:num_preemptions_total",)),
    "request_errors:rate1m": (0.2, ("http_requests_total",)),
    "request_errors:ratio_rate1m": (0.04, ("http_requests_total",)),
    "e2e_seconds:p50_2m": (3.75, ("vllm:e2e_request_latency_seconds",)),
    "e2e_seconds:p99_2m": (4.975, ("vllm:e2e_request_latency_seconds",)),
    "ttft_seconds:p50_2m": (0.375, ("vllm:time_to_first_token_seconds",)),
    "inter_token_seconds:p50_2m": (
        0.0625,
        ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    ),
    "queue_seconds:p50_2m": (3.75, ("vllm:request_queue_time_seconds",)),
    "prefill_seconds:mean_2m": (2, ("vllm:request_prefill_time_seconds",)),
    "decode_seconds:mean_2m": (3, ("vllm:request_decode_time_seconds",)),
    "prefix_cache_hits:ratio_rate5m": (
        0.25,
        ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_hit_rate"),
    ),
}
REQUESTS = "requests:rate1m"  # 5 a second over HTTP (0.8.3 on), else the finished ones
OF_SERVERS_ONLY = ("prefill_seconds:mean_2m", "decode_seconds:mean_2m", "prefix_cache_hits:ratio_rate5m")
READ = {*GAUGES, *COUNTERS, *HISTOGRAMS, "http_requests_total"}


@dataclass(frozen=True)
class Shown:
    """What one release with one engine shows. `families` are those of the document."""

    release: str
    engine: str
    families: tuple[dict[str, Any], ...]

    @property
    def server(self) -> str:
        return f"{self.release}-{self.engine}"

    def names(self) -> set[str]:
        return {str(family["name"]) for family in self.families}


def shown(document: dict[str, Any]) -> Iterator[Shown]:
    """Yields the releases from 0.6 on, with each engine that they have metrics for."""
    for release, about in document["versions"].items():
        if release.startswith(("0.4.", "0.5.")):
            continue
        for engine in about["engine"]:
            families = tuple(
                {key: family[key] for key in ("name", "type", "labels", "buckets") if key in family}
                for family in about["metrics"]
                if family["engine"] in (engine, "http") and not family.get("hidden") and not family.get("condition")
            )
            if any(family["name"] == "vllm:num_requests_running" for family in families):
                yield Shown(release, engine, families)


def extract(releases: Iterable[Shown]) -> list[dict[str, Any]]:
    """Returns each set of families that the rules read, once, with the first release that shows it."""
    found: dict[str, Shown] = {}
    for one in releases:
        read = tuple(family for family in one.families if family["name"] in READ)
        found.setdefault(json.dumps([one.engine, read], sort_keys=True), Shown(one.release, one.engine, read))
    return [{"release": one.release, "engine": one.engine, "families": list(one.families)} for one in found.values()]


def extracted() -> list[Shown]:
    """Returns what the committed extract holds."""
    eras = json.loads(EXTRACT.read_text())
    return [Shown(era["release"], era["engine"], tuple(era["families"])) for era in eras]


def series(one: Shown) -> Iterator[dict[str, str]]:
    """Yields promtool's input of one server with one engine."""
    for family in one.families:
        name = str(family["name"])
        for labels in labelled(one, family):
            yield from samples(name, family, labels)


def labelled(one: Shown, family: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yields the labels of the family's series, with values that vLLM gives."""
    labels = {"job": "vllm", "instance": one.server, "server": one.server}
    labels |= {
        label: {"model_name": f"model-{one.server}", "engine": "0"}.get(label, "x") for label in family["labels"]
    }
    if family["name"] == "http_requests_total":
        for status in HTTP:
            yield labels | {"handler": "/v1/completions", "method": "POST", "status": status}
        yield labels | {"handler": "/v1/models", "method": "GET", "status": "2xx"}
    elif family["name"] == "vllm:request_success_total":
        yield labels | {"finished_reason": "stop"}
        yield labels | {"finished_reason": "abort"}
    else:
        yield labels


def samples(name: str, family: dict[str, Any], labels: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yields the series of one set of labels; families that no rule reads have one sample series of 1."""
    if name in GAUGES:
        yield line(name, labels, f"{GAUGES[name]}x{STEPS}")
    elif name == "http_requests_total":
        yield line(name, labels, growing(HTTP[labels["status"]]))
    elif name in COUNTERS:
        yield line(name, labels, growing(COUNTERS[name] if labels.get("finished_reason") != "abort" else 0))
    elif name in HISTOGRAMS:
        bound, total, count = HISTOGRAMS[name]
        for le in (*family["buckets"], float("inf")):
            text = "+Inf" if le == float("inf") else str(float(le))
            yield line(f"{name}_bucket", labels | {"le": text}, growing(count if le >= bound else 0))
        yield line(f"{name}_sum", labels, growing(total))
        yield line(f"{name}_count", labels, growing(count))
    else:
        suffix = {"histogram": "_count", "summary": "_count"}.get(str(family["type"]), "")
        yield line(name + suffix, labels, f"1x{STEPS}")


def growing(step: float) -> str:
    return f"0+{step}x{STEPS}"


def line(name: str, labels: dict[str, str], values: str) -> dict[str, str]:
    shown_labels = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{shown_labels}}}", "values": values}


def expected(one: Shown) -> dict[str, float]:
    """Returns signal -> value for a release; what it has no family for must be absent."""
    names = one.names()
    values = {signal: value for signal, (value, sources) in EXPECTED.items() if names & set(sources)}
    if "http_requests_total" in names:
        values[REQUESTS] = 5
    elif "vllm:request_success_total" in names:
        values[REQUESTS] = 2
    return values

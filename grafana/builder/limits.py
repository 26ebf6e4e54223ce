"""The numbers that the alerts compare with, so that a gauge turns red where the alert does."""

from __future__ import annotations

from functools import cache

from prometheus.thresholds import SOURCE, parse


@cache
def alert_limit(name: str) -> float:
    """From prometheus/thresholds.yml. Raises KeyError. For gauges only: lines are drawn from `limit_series`."""
    return {one.name: one.value for one in parse(SOURCE.read_text()) if one.value is not None}[name]


def limit_series(name: str) -> str:
    """PromQL of the threshold; where servers have limits of their own, the highest."""
    return f'max(server:vllm_threshold:{name}{{server=~"$server"}})'


def limit_near(name: str, data: str) -> str:
    """PromQL of the threshold while `data` comes near it: a line far above squeezes what it should be compared with."""
    limit = limit_series(name)
    return f"{limit} and on () (max({data}) > 0.5 * {limit})"

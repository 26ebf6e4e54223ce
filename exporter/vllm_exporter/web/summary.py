"""Makes the health of everything for programs: GET /health and `vllm-exporter status`. Pure: facts are passed in.

Names and units of the first fields are those that guides to vLLM use: MB and percent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.facts.events import Event
from vllm_exporter.facts.facts import Gpus, GpuSight, Lifecycles, ServerSight, Sights, Trees
from vllm_exporter.facts.values import Health
from vllm_exporter.run.runner import View

Stats = dict[str, Any]

MIB, GIB = 1024**2, 1024**3
HEALTH_PROBLEMS: Mapping[Health, str] = {
    "refused": "/health: connection refused",
    "timeout": "/health: no answer within {timeout:g} s",
    "503": "/health: 503, the engine has died",
    "other": "/health: neither 200 nor 503",
}
RAM_TOTAL, RAM_AVAILABLE = "vllm_host_memory_total_bytes", "vllm_host_memory_available_bytes"


@dataclass(frozen=True)
class HealthFacts:
    """Everything that the exporter knows at one time. None: its collector is off, fails, or has not run yet."""

    now: float  # Unix time
    servers: tuple[str, ...]  # as configured
    views: tuple[View, ...]
    sights: Sights | None = None
    trees: Trees | None = None
    gpus: Gpus | None = None
    lifecycles: Lifecycles | None = None
    events: tuple[Event, ...] = ()  # the last ones above info
    threads: int = 0  # of the exporter
    health_timeout: float = ProbeConfig.health_timeout  # seconds


def make_stats(known: HealthFacts) -> Stats:
    """Returns everything as plain values. None: not known."""
    servers = [_server(name, known) for name in known.servers]
    total, available = _host(known.views, RAM_TOTAL), _host(known.views, RAM_AVAILABLE)
    resident = sum(one.resident for one in known.trees.processes.values()) if known.trees else None
    return {
        "timestamp": known.now,
        "num_running_requests": _sum(servers, "running"),
        "num_waiting_requests": _sum(servers, "waiting"),
        "num_swapped_requests": _sum(servers, "swapped") or 0,
        "gpu_cache_usage_percent": max(_have(servers, "kv_cache_percent"), default=None),
        "cpu_cache_usage_percent": None,  # vLLM has had no such cache since 0.9.1
        "system_ram_used_mb": None if total is None or available is None else _round((total - available) / MIB),
        "process_ram_mb": None if resident is None else _round(resident / MIB),
        "gpu_stats": [_gpu(gpu) for gpu in known.gpus.gpus] if known.gpus else [],
        "active_threads": known.threads,
        "pending_tasks": sum(view.result == "not_run" for view in known.views),
        "servers": servers,
        "errors": list(_errors(known)),
    }


def _server(name: str, known: HealthFacts) -> Stats:
    sight = known.sights.servers.get(name) if known.sights else None
    state, seconds = known.lifecycles.states.get(name, (None, None)) if known.lifecycles else (None, None)
    processes = [one for one in known.trees.processes.values() if one.server == name] if known.trees else None
    return {
        "server": name,
        "state": state or (_state(sight) if sight is not None else _unseen(known)),
        "state_seconds": seconds,
        "processes": None if processes is None else len(processes),
        "orphans": None if processes is None else sum(one.orphan for one in processes),
        **(_sight(sight) if sight is not None else {}),
    }


def _sight(sight: ServerSight) -> Stats:
    values = sight.values
    usage = values.kv_usage if values else None
    return {
        "health": sight.health,
        "ready_seconds": sight.ready_age,
        "stalled": sight.stalled,
        "paused": sight.paused,
        "sleeping": sight.sleeping,
        "running": values.running if values else None,
        "waiting": values.waiting if values else None,
        "swapped": values.swapped if values else None,
        "kv_cache_percent": None if usage is None else _round(100 * usage),
        "kv_blocks_used": sight.blocks_used,
        "kv_blocks_total": sight.blocks_total,
        "canary_ok": sight.canary_ok,
        "canary_failures": sight.canary_failures,
        "canary_seconds": sight.canary_seconds,
        "canary_first_token_seconds": sight.canary_first_token,
        "progress_age_seconds": sight.progress_age,
        "stall_limit_seconds": sight.stall_limit,
        "engine_ages_seconds": dict(sight.engine_ages),
        "model_name": sight.model_name,
        "version": sight.version,
        "problem": sight.problem,
    }


def _unseen(known: HealthFacts) -> str:
    """Returns the word for a server without a probe's result: the exporter just started, or nobody probes."""
    begins = any(view.name == "probe" and view.result == "not_run" for view in known.views)
    return "looking" if begins or known.sights is not None else "unknown"


def _state(sight: ServerSight) -> str:
    """Returns the state in a word, for when no lifecycle state is known."""
    for word, holds in (("stalled", sight.stalled), ("sleeping", sight.sleeping), ("paused", sight.paused)):
        if holds:
            return word
    return {"ok": "ready", "refused": "down", "503": "dead"}.get(sight.health or "", "not answering")


def _gpu(gpu: GpuSight) -> Stats:
    used, total = gpu.memory_used, gpu.memory_total
    return {
        "gpu_id": gpu.gpu_id,
        "name": gpu.name,
        "lost": gpu.lost,
        "utilization_percent": None if gpu.utilization is None else _round(100 * gpu.utilization),
        "memory_used_mb": None if used is None else _round(used / MIB),
        "memory_total_mb": None if total is None else _round(total / MIB),
        "memory_percent": None if used is None or not total else _round(100 * used / total),
        "temperature_celsius": gpu.temperature,
    }


def _errors(known: HealthFacts) -> Iterator[str]:
    """Yields a sentence per server that does not serve, per collector that fails, and per recent event."""
    sights = known.sights.servers if known.sights else {}
    if known.sights is not None:
        yield from (f"{name}: the first probe waits for an answer" for name in known.servers if name not in sights)
    for name, sight in sights.items():
        if sight.stalled:
            yield f"{name}: stalled, no progress for {sight.progress_age or 0:.0f} s"
        yield from (f"{name}: {problem}" for problem in _problems(sight, known.health_timeout))
        if sight.canary_failures:
            yield f"{name}: {sight.canary_failures} test requests in a row failed"
    for view in known.views:
        if view.result == "failed":
            yield f"collector {view.name}: {view.detail}"
    for event in reversed(known.events):
        at = time.strftime("%H:%M:%S", time.localtime(event.time))
        who = "" if event.server in event.summary else f"{event.server}: "  # most name it themselves; '' is in all
        yield f"{at} {who}{event.summary}"


def _problems(sight: ServerSight, timeout: float) -> Iterator[str]:
    """Yields why /health is not ok and why /metrics could not be read; only the latter if both are refused."""
    if (
        sight.health is not None
        and sight.health in HEALTH_PROBLEMS
        and not (sight.health == "refused" and sight.problem)
    ):
        yield HEALTH_PROBLEMS[sight.health].format(timeout=timeout)
    if sight.problem:
        yield sight.problem


def _host(views: Iterable[View], family: str) -> float | None:
    for view in views:
        if view.name == "system":
            return next((sample.value for sample in view.samples if sample.family.name == family), None)
    return None


def _have(servers: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    return [one[key] for one in servers if one.get(key) is not None]


def _sum(servers: Iterable[Mapping[str, Any]], key: str) -> float | None:
    found = _have(servers, key)
    return sum(found) if found else None


def _round(value: float) -> float:
    return round(value, 1)

"""The health of everything for people and programs: GET /health and `vllm-exporter status`. Pure: facts are passed in.

Names and units of the first fields are those of the field's guides, which say MB and percent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vllm_exporter.events import Event
from vllm_exporter.facts import Gpus, GpuSight, Lifecycles, ServerSight, Sights, Trees
from vllm_exporter.runner import View

Stats = dict[str, Any]

MIB, GIB = 1024**2, 1024**3
WIDTH = 80
RAM_TOTAL, RAM_AVAILABLE = "vllm_host_memory_total_bytes", "vllm_host_memory_available_bytes"


@dataclass(frozen=True)
class Known:
    """All that the exporter knows at one time. None: its collector is off, fails, or has not run yet."""

    now: float  # Unix time
    servers: tuple[str, ...]  # as configured
    views: tuple[View, ...]
    sights: Sights | None = None
    trees: Trees | None = None
    gpus: Gpus | None = None
    lifecycles: Lifecycles | None = None
    events: tuple[Event, ...] = ()  # the last ones above info
    threads: int = 0  # of the exporter


def make_stats(known: Known) -> Stats:
    """Everything as plain values. None: not known."""
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


def make_summary(stats: Stats) -> str:
    """The same as text, at most 80 columns wide."""
    lines = [f"=== vLLM Health Stats @ {time.strftime('%H:%M:%S', time.localtime(stats['timestamp']))} ==="]
    lines += _table(stats["servers"])
    lines += [*_gpu_lines(stats["gpu_stats"]), _ram_line(stats), ""]
    lines += [line for error in stats["errors"] for line in _wrap(f"! {error}")] or ["No errors."]
    return "\n".join(lines) + "\n"


def _server(name: str, known: Known) -> Stats:
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


def _unseen(known: Known) -> str:
    """Of a server that no probe has had an answer from: just started, or nobody looks."""
    begins = any(view.name == "probe" and view.result == "not_run" for view in known.views)
    return "looking" if begins or known.sights is not None else "unknown"


def _state(sight: ServerSight) -> str:
    """In a word, where no lifecycle is known."""
    for word, holds in (("stalled", sight.stalled), ("sleeping", sight.sleeping), ("paused", sight.paused)):
        if holds:
            return word
    return {"ok": "ready", "refused": "down", "503": "dead"}.get(sight.health, "not answering")


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


def _errors(known: Known) -> Iterator[str]:
    """Servers that do not serve, collectors that fail, and what happened last."""
    for name, sight in (known.sights.servers if known.sights else {}).items():
        if sight.stalled:
            yield f"{name}: stalled, no progress for {sight.progress_age or 0:.0f} s"
        if sight.problem:
            yield f"{name}: {sight.problem}"
        if sight.canary_failures:
            yield f"{name}: {sight.canary_failures} test requests in a row failed"
    for view in known.views:
        if view.result == "failed":
            yield f"collector {view.name}: {view.detail}"
    for event in reversed(known.events):
        at = time.strftime("%H:%M:%S", time.localtime(event.time))
        yield f"{at} {event.server + ': ' if event.server else ''}{event.summary}"


def _table(servers: Iterable[Stats]) -> list[str]:
    rows = [("server", "state", "run", "wait", "KV", "canary", "TTFT", "progress"), *map(_cells, servers)]
    if len(rows) == 1:
        return ["No server is configured: set VLLM_TARGETS=host:port."]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    widths[0] = min(widths[0], max(12, WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)))
    return [_line(row, widths) for row in rows]


def _cells(one: Stats) -> tuple[str, ...]:
    canary = {True: _seconds(one.get("canary_seconds")), False: "failed", None: "-"}[one.get("canary_ok")]
    still = one.get("progress_age_seconds")
    return (
        one["server"],
        str(one["state"]).replace("_", " ").lower(),
        _number(one.get("running")),
        _number(one.get("waiting")),
        _percent(one.get("kv_cache_percent")),
        canary,
        _seconds(one.get("canary_first_token_seconds")),
        "-" if still is None else f"{still:.0f} s ago",
    )


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    """Text to the left, numbers to the right."""
    cells = [
        cell[:width].ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(_zip(row, widths))
    ]
    return "  ".join(cells).rstrip()


def _zip(row: tuple[str, ...], widths: list[int]) -> list[tuple[str, int]]:
    return list(zip(row, widths, strict=True))


def _gpu_lines(gpus: list[Stats]) -> list[str]:
    lines = []
    for gpu in gpus:
        if gpu["lost"]:
            lines.append(f"GPU {gpu['gpu_id']}  {gpu['name']}: lost (fallen off the bus)")
            continue
        heat = "" if gpu["temperature_celsius"] is None else f", {gpu['temperature_celsius']:.0f} °C"
        busy, memory = _percent(gpu["utilization_percent"]), _percent(gpu["memory_percent"])
        lines.append(f"GPU {gpu['gpu_id']}  {gpu['name'][:30]}: {busy} busy, memory {memory} of {_gib(gpu)}{heat}")
    return ["", *lines] if lines else []


def _gib(gpu: Stats) -> str:
    total = gpu["memory_total_mb"]
    return "?" if total is None else f"{total / 1024:.0f} GiB"


def _ram_line(stats: Stats) -> str:
    host, own = stats["system_ram_used_mb"], stats["process_ram_mb"]
    parts = [] if host is None else [f"host {host / 1024:.1f} GiB used"]
    parts += [] if own is None else [f"vLLM's processes {own / 1024:.1f} GiB"]
    return "\nMemory: " + ", ".join(parts or ["not known"])


def _wrap(text: str) -> list[str]:
    import textwrap  # here, because a scrape needs none

    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


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


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"

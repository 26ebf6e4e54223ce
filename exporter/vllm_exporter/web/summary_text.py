"""Writes the values of `summary` as text for people, at most 80 columns wide. Pure."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable

from vllm_exporter.web.summary import Stats

WIDTH = 80


def make_summary(stats: Stats) -> str:
    """Returns servers, GPUs, memory and errors."""
    lines = [f"=== vLLM Health Stats @ {time.strftime('%H:%M:%S', time.localtime(stats['timestamp']))} ==="]
    lines += _table(stats["servers"])
    lines += [*_gpu_lines(stats["gpu_stats"]), _ram_line(stats), ""]
    lines += [line for error in stats["errors"] for line in _wrap(f"! {error}")] or ["No errors."]
    return "\n".join(lines) + "\n"


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
    """Aligns text to the left, numbers to the right."""
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
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"

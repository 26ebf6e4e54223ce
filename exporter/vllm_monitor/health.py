"""How the engine of this process is, on request: numbers, a summary for people, and both as an answer for programs."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vllm_monitor.nvidia import read_gpu
from vllm_monitor.process import known_loads
from vllm_monitor.stats import attribute

MEBIBYTE = 1 << 20
MOST_GPUS = 64
HOLDERS = ("llm", "llm_engine", "engine", "engine_client", "async_engine", "model")  # where programs keep their engine
DEPTH = 3  # a manager of a model, its engine, and what that wraps


@dataclass(frozen=True)
class HealthStats:
    """One look. Numbers of requests are 0 where nothing knows them: `source` says who does.

    On vLLM's V1 engine nothing is swapped out and no cache is in the CPU's memory (a preempted request is computed
    again), so `num_swapped_requests` and `cpu_cache_usage_percent` are 0. `source` is 'plug-in' (the engine's last
    step), 'engine' (requests that it has not finished, which all count as running), or 'none'.
    """

    timestamp: float  # Unix time
    num_running_requests: int = 0
    num_waiting_requests: int = 0
    num_swapped_requests: int = 0
    gpu_cache_usage_percent: float = 0.0  # of the engine whose KV cache is fullest
    cpu_cache_usage_percent: float = 0.0
    system_ram_used_mb: float = 0.0  # MiB
    process_ram_mb: float = 0.0  # MiB, resident
    gpu_stats: list[dict[str, float]] = field(default_factory=list)  # of each GPU of this host
    active_threads: int = 0
    pending_tasks: int = 0  # of the event loop
    source: str = "none"

    def summary(self) -> str:
        """Returns some lines for people; the first has the local time."""
        known = "" if self.source != "none" else " (no engine is known)"
        lines = [
            f"=== vLLM Health Stats @ {time.strftime('%H:%M:%S', time.localtime(self.timestamp))} ===",
            f"Requests: {self.num_running_requests} running, {self.num_waiting_requests} waiting, "
            f"{self.num_swapped_requests} swapped{known}",
            f"Cache: GPU {self.gpu_cache_usage_percent:.1f}%, CPU {self.cpu_cache_usage_percent:.1f}%",
            f"Memory: system {self.system_ram_used_mb:.0f} MB used, process {self.process_ram_mb:.0f} MB",
        ]
        lines += [
            f"GPU {gpu['gpu_id']:.0f}: {gpu['memory_used_mb']:.0f} of {gpu['memory_total_mb']:.0f} MB "
            f"({gpu['memory_percent']:.1f}%), {gpu['utilization_percent']:.0f}% busy"
            for gpu in self.gpu_stats
        ]
        return "\n".join((*lines, f"Threads: {self.active_threads}, tasks: {self.pending_tasks}"))


async def get_health_stats(model_manager: Any = None) -> HealthStats:
    """Returns how the engine is. `model_manager` is an engine, something that holds one, or nothing.

    In an API server with the plug-in nothing is needed. GPUs are read in another thread. Raises nothing.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, look, model_manager, loop)


async def answer_health(request: Mapping[str, Any], model_manager: Any = None) -> dict[str, Any] | None:
    """Returns {"stats": …, "summary": …} for a request with "action": "health", None for any other."""
    return await health_answer(model_manager) if request.get("action") == "health" else None


async def health_answer(model_manager: Any = None) -> dict[str, Any]:
    """Returns {"stats": …, "summary": …}, ready for JSON."""
    stats = await get_health_stats(model_manager)
    return {"stats": dataclasses.asdict(stats), "summary": stats.summary()}


def look(model_manager: Any = None, loop: asyncio.AbstractEventLoop | None = None) -> HealthStats:
    """Returns how the engine is; for threads. `loop`: whose tasks count. Raises nothing."""
    running, waiting, cache, source = load(model_manager)
    return HealthStats(
        timestamp=time.time(),
        num_running_requests=running,
        num_waiting_requests=waiting,
        gpu_cache_usage_percent=cache,
        system_ram_used_mb=memory_used("/proc/meminfo", parse_meminfo) / MEBIBYTE,
        process_ram_mb=memory_used("/proc/self/statm", parse_statm) / MEBIBYTE,
        gpu_stats=gpus(),
        active_threads=threading.active_count(),
        pending_tasks=tasks(loop),
        source=source,
    )


def load(model_manager: Any) -> tuple[int, int, float, str]:
    """Returns requests running and waiting, percent of the KV cache in use, and who says so."""
    loads = list(known_loads().values())
    if loads:
        running, waiting = sum(one.running for one in loads), sum(one.waiting for one in loads)
        return int(running), int(waiting), 100.0 * max(one.cache for one in loads), "plug-in"
    unfinished = unfinished_requests(model_manager, DEPTH)
    return (0, 0, 0.0, "none") if unfinished is None else (unfinished, 0, 0.0, "engine")


def unfinished_requests(holder: Any, depth: int) -> int | None:
    """Returns how many requests an engine works on; None where none is found within `depth` steps."""
    for owner in (holder, attribute(holder, "output_processor")):
        ask = attribute(owner, "get_num_unfinished_requests")
        try:
            found = ask() if callable(ask) else None
        except Exception:  # noqa: BLE001 - an engine that is ending, or another thing with that name
            found = None
        if isinstance(found, int) and found >= 0:
            return found
    inner = (attribute(holder, name) for name in HOLDERS) if holder is not None and depth else ()
    found_inside = (unfinished_requests(one, depth - 1) for one in inner if one is not None)
    return next((one for one in found_inside if one is not None), None)


def gpus() -> list[dict[str, float]]:
    """Returns the GPUs that NVIDIA's library sees; none without it."""
    found: list[dict[str, float]] = []
    for index in range(MOST_GPUS):
        seen = read_gpu(index)
        if seen is None:
            break
        found.append(
            {
                "gpu_id": index,
                "utilization_percent": seen.utilization,
                "memory_used_mb": seen.memory_used / MEBIBYTE,
                "memory_total_mb": seen.memory_total / MEBIBYTE,
                "memory_percent": 100.0 * seen.memory_used / seen.memory_total if seen.memory_total else 0.0,
            }
        )
    return found


def tasks(loop: asyncio.AbstractEventLoop | None) -> int:
    """Returns the tasks of a loop that are not done; 0 without one."""
    try:
        return len(asyncio.all_tasks(loop)) if loop is not None else 0
    except RuntimeError:  # they changed too often while they were counted
        return 0


def memory_used(path: str, parse: Callable[[str], float]) -> float:
    """Returns bytes; 0 where the kernel does not say."""
    try:
        return parse(Path(path).read_text())
    except (OSError, LookupError, ValueError):
        return 0.0


def parse_meminfo(text: str) -> float:
    """Returns the bytes of the host's memory that are not available. Raises LookupError or ValueError."""
    kibibytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in text.splitlines())}
    return 1024.0 * (kibibytes["MemTotal"] - kibibytes["MemAvailable"])


def parse_statm(text: str) -> float:
    """Returns the resident bytes of a process. Raises LookupError or ValueError."""
    return float(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

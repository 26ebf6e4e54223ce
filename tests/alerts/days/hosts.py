"""The series of hosts that are well: CPUs, memory, disks, GPUs; and of the parts that watch."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from tests.alerts.days.course import DAY, HOUR, SCRAPE, Line, Moment, Server, line, shown, total

CPUS = 64
MEMORY, DISK, GPU = 1e12, 4e12, 80e9  # bytes
Served = Sequence[tuple[Server, Sequence[Moment]]]


def seen_by_exporter(chance: random.Random, scrapes: int) -> list[bool]:
    """It is restarted once a day, for two scrapes."""
    began = chance.randrange(DAY)
    return [not began <= now < began + 2 for now in range(scrapes)]


def of_host(chance: random.Random, host: str, first: int, servers: Served, seen: Sequence[bool]) -> Iterator[Line]:
    labels = {"job": "exporter", "instance": f"{host}:9855"}
    yield line("up", labels, [float(one) for one in seen])
    yield line("scrape_duration_seconds", labels, [0.01] * len(seen))
    yield line("vllm_exporter_build_info", labels | {"version": "1"}, shown([1.0] * len(seen), seen))
    slow = chance.randrange(DAY)  # a disk that hangs for three minutes
    works = [float(not slow <= now < slow + 12) for now in range(len(seen))]
    yield line("vllm_exporter_collector_success", labels | {"collector": "filesystems"}, shown(works, seen))
    for name, extra, values in (*_machine(chance, first, servers), *_disk(chance, first, len(seen))):
        yield line(name, labels | extra, shown(values, seen))
    for server, moments in servers:
        for gpu in server.gpus:
            for name, extra, values in _gpu(chance, server, moments):
                yield line(name, labels | {"gpu_id": str(gpu)} | extra, shown(values, seen))


Values = tuple[str, dict[str, str], list[float]]


def _machine(chance: random.Random, first: int, servers: Served) -> Iterator[Values]:
    """Whoever compiles takes all CPUs, and who loads passes through memory; by day there is more of everything."""
    each = list(zip(*(moments for _, moments in servers), strict=True))
    day = [math.sin((first + now) / DAY * 2 * math.pi - math.pi / 2) for now in range(len(each))]
    compiles = [any(one.phase == "compiling" for one in moments) for moments in each]
    busy = [0.995 if full else 0.3 + 0.2 * wave for full, wave in zip(compiles, day, strict=True)]
    yield "vllm_host_cpus", {}, [float(CPUS)] * len(each)
    yield "vllm_host_cpu_seconds_total", {"mode": "idle"}, total([0.9 * CPUS * (1 - one) for one in busy])
    yield "vllm_host_cpu_seconds_total", {"mode": "iowait"}, total([0.1 * CPUS * (1 - one) for one in busy])
    used = [
        0.3
        + 0.15 * sum(one.alive for one in moments)
        + 0.01 * wave
        + 0.2 * any(one.phase == "weights_loading" for one in moments)
        + chance.uniform(0, 0.01)
        for moments, wave in zip(each, day, strict=True)
    ]
    yield "vllm_host_memory_total_bytes", {}, [MEMORY] * len(each)
    yield "vllm_host_memory_available_bytes", {}, [MEMORY * (1 - one) for one in used]
    yield "vllm_host_oom_kills_total", {}, [3.0] * len(each)  # long ago
    yield "vllm_host_file_descriptors_allocated", {}, [20000.0 + 5000 * one for one in busy]
    yield "vllm_host_file_descriptors_limit", {}, [9e6] * len(each)
    yield "vllm_host_shm_size_bytes", {}, [500e9] * len(each)
    yield "vllm_host_shm_free_bytes", {}, [480e9 - 20e9 * one for one in busy]
    yield "vllm_network_link_up", {"device": "eth0"}, [1.0] * len(each)
    yield "vllm_network_link_up", {"device": "eth1"}, [0.0] * len(each)  # nothing is plugged in
    yield "vllm_infiniband_port_active", {"device": "mlx5_0"}, [1.0] * len(each)
    yield "vllm_gpu_driver_hung", {}, [0.0] * len(each)


def _disk(chance: random.Random, first: int, scrapes: int) -> Iterator[Values]:
    """Logs grow and are thrown away at midnight. Somebody downloads a model in minutes, and another the next day."""
    began, length, size = chance.randrange(DAY), chance.randint(8, 40), chance.uniform(0.05, 0.2)
    free = []
    for now in range(scrapes):
        clock = (first + now) % DAY
        loaded = min(1.0, max(0.0, (now - began) / length))
        free.append(DISK * (0.45 - size * loaded - 0.03 * clock / DAY))
    at = {"mountpoint": "/models", "fstype": "ext4"}
    yield "vllm_host_filesystem_size_bytes", at, [DISK] * scrapes
    yield "vllm_host_filesystem_free_bytes", at, free
    yield "vllm_host_filesystem_files", at, [1e8] * scrapes
    yield "vllm_host_filesystem_files_free", at, [9e7] * scrapes
    yield "vllm_host_filesystem_read_only", at, [0.0] * scrapes
    yield "vllm_host_filesystem_read_only", {"mountpoint": "/media", "fstype": "iso9660"}, [1.0] * scrapes


def _gpu(chance: random.Random, server: Server, moments: Sequence[Moment]) -> Iterator[Values]:
    """vLLM takes nine tenths at its start and keeps them. It is warm when busy, and its power limit holds it back."""
    busy = [min(1.0, 0.3 * one.rate) for one in moments]
    reserved = {"weights_loading": 30e9, "compiling": 62e9, "graph_capture": 74e9}
    used, grown = [], 0.0
    for one in moments:
        grown = min(1e9, grown + 2e5) if one.answers else 0.0  # graphs and fragments
        used.append(GPU * 0.955 + grown if one.answers and one.word != "asleep" else reserved.get(one.phase, 2e9))
    # Temperature follows load within minutes.
    warm = list(accumulate(busy, lambda before, now: before + 0.05 * (now - before)))
    yield "vllm_gpu_memory_total_bytes", {}, [GPU] * len(moments)
    yield "vllm_gpu_memory_used_bytes", {}, used
    role = {"server": server.name, "role": "worker", "rank": "0"}
    yield "vllm_gpu_process_memory_bytes", role, used
    yield "vllm_gpu_process_memory_bytes", {"server": "", "role": "", "rank": ""}, [5e8] * len(moments)  # a monitor
    yield "vllm_gpu_temperature_celsius", {"sensor": "gpu"}, [45 + 30 * one + chance.uniform(0, 8) for one in warm]
    yield "vllm_gpu_temperature_celsius", {"sensor": "memory"}, [55 + 40 * one for one in warm]
    yield "vllm_gpu_utilization_percent", {}, [round(100 * one) for one in busy]
    yield "vllm_gpu_throttle_seconds_total", {"cause": "sw_power_cap"}, total([0.8 * one for one in busy])
    yield "vllm_gpu_throttle_seconds_total", {"cause": "sw_thermal"}, total([0.05 * one for one in busy])
    yield "vllm_gpu_ecc_errors_total", {"type": "corrected", "scope": "volatile"}, total([0.001] * len(moments))
    yield "vllm_gpu_nvlink_errors_total", {"type": "replay"}, [2.0] * len(moments)  # of the last boot
    # A program's own fault, which its restart ends.
    fault = chance.randrange(DAY)
    after = [float(fault <= now) for now in range(len(moments))]
    yield "vllm_gpu_xid_errors_total", {"xid": "43", "class": "restart_app"}, after
    yield "vllm_gpu_xid_last_seen_timestamp_seconds", {"xid": "43"}, [float(fault * SCRAPE) * one for one in after]
    yield "vllm_gpu_pcie_link_lanes_max", {}, [16.0] * len(moments)
    yield "vllm_gpu_pcie_link_lanes", {}, [16.0] * len(moments)
    yield "vllm_gpu_retired_pages_pending", {}, [0.0] * len(moments)
    yield "vllm_gpu_recovery_action", {"action": "none"}, [1.0] * len(moments)
    for name in ("lost", "row_remap_failed", "row_remap_pending", "fabric_problem"):
        yield f"vllm_gpu_{name}", {}, [0.0] * len(moments)


def of_parts(chance: random.Random, scrapes: int) -> Iterator[Line]:
    """The healer, which is restarted once, and Prometheus and Alertmanager themselves."""
    away = chance.randrange(DAY)
    seen = [now != away for now in range(scrapes)]
    ticks = [float(now * SCRAPE) for now in range(scrapes)]
    healer = {"job": "healer", "instance": "alpha:9856"}
    yield line("up", healer, [float(one) for one in seen])
    for name, values in {
        "dry_run": [0.0] * scrapes,
        "paused": [0.0] * scrapes,
        "jobs_overdue": [0.0] * scrapes,
        "worker_last_tick_timestamp_seconds": ticks,
        "last_reconcile_timestamp_seconds": ticks,
        "journal_errors_total": [0.0] * scrapes,
        "journal_free_bytes": [9e10 - 1e4 * now for now in range(scrapes)],
    }.items():
        yield line(f"vllm_healer_{name}", healer, shown(values, seen))
    # In a storm it says once "come again".
    storm = chance.randrange(DAY)
    answers = {"200": total([0.05] * scrapes), "503": [float(now >= storm) for now in range(scrapes)]}
    for code, values in answers.items():
        yield line("vllm_healer_webhook_requests_total", healer | {"code": code}, shown(values, seen))
    prometheus = {"job": "prometheus", "instance": "alpha:9090"}
    alertmanager = {"job": "alertmanager", "instance": "alpha:9093"}
    retried = [float(now >= away + HOUR) for now in range(scrapes)]
    for name, labels, values in (
        ("up", prometheus, [1.0] * scrapes),
        ("up", alertmanager, [1.0] * scrapes),
        ("prometheus_config_last_reload_successful", prometheus, [1.0] * scrapes),
        ("prometheus_notifications_dropped_total", prometheus, [0.0] * scrapes),
        ("prometheus_notifications_alertmanagers_discovered", prometheus, [1.0] * scrapes),
        ("prometheus_rule_evaluation_failures_total", prometheus | {"rule_group": "x;vllm-load"}, [0.0] * scrapes),
        ("prometheus_rule_group_iterations_missed_total", prometheus | {"rule_group": "x;vllm-load"}, retried),
        ("alertmanager_config_last_reload_successful", alertmanager, [1.0] * scrapes),
        ("alertmanager_notifications_failed_total", alertmanager | {"integration": "slack"}, retried),
    ):
        yield line(name, labels, values)

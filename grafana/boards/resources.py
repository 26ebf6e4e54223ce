"""Resources: what the hosts, the GPUs and the KV caches have left."""

from __future__ import annotations

from grafana.builder.board import Board, Row, uid
from grafana.builder.colours import plain, steps, up_to, words
from grafana.builder.limits import alert_limit, limit_near
from grafana.builder.lines import bars, timeseries
from grafana.builder.numbers import gauge
from grafana.builder.panel import Json, Panel, Query
from grafana.builder.states import state_timeline
from grafana.builder.table import Column, table
from grafana.builder.variables import query
from grafana.rows.common import HERE, data_age, now

HOST = query("host", "Host", "Exporters, one a host.", "label_values(vllm_host_cpus, instance)", every=".*")
GPU = query("gpu", "GPU", "Numbers of GPUs, as nvidia-smi has them.", "label_values(vllm_gpu_info, gpu_id)", every=".*")

ON = '{instance=~"$host"}'
OF_GPU = '{instance=~"$host", gpu_id=~"$gpu"}'
EACH_GPU = "{{instance}} GPU {{gpu_id}}"
NO_GPU = "no GPU"


IDLE = '{instance=~"$host", mode=~"idle|iowait"}'
BUSY = '{instance=~"$host", mode!="idle"}'
NETWORK = '{instance=~"$host", device!="lo"}'
SOME = '{instance=~"$host", kind="some"}'


def left() -> tuple[Panel, ...]:
    idle = f"sum by (instance) (rate(vllm_host_cpu_seconds_total{IDLE}[$__rate_interval]))"
    return (
        share(
            "CPU",
            "Share of the CPU time in use, of the busiest host.",
            f"1 - {idle} / on (instance) vllm_host_cpus{ON}",
            up_to(alert_limit("host_cpu_ratio")),
        ),
        share(
            "Memory",
            "Share of the host's memory that is not available, of the fullest host.",
            f"1 - vllm_host_memory_available_bytes{ON} / vllm_host_memory_total_bytes{ON}",
            up_to(alert_limit("host_memory_ratio")),
        ),
        share(
            "/dev/shm",
            "Share of the shared memory in use, of the fullest host. vLLM's processes talk through it: full, they die.",
            f"1 - vllm_host_shm_free_bytes{ON} / vllm_host_shm_size_bytes{ON}",
            steps((0, "green"), (0.8, "yellow"), (0.95, "red")),
        ),
        share(
            "GPU Memory",
            "Share of its memory in use, of the fullest GPU. vLLM takes 90 % and more when it starts, by design: what "
            "counts is whether it grows, which the time line below shows.",
            f"vllm_gpu_memory_used_bytes{OF_GPU} / vllm_gpu_memory_total_bytes{OF_GPU}",
            plain(),
            missing=NO_GPU,
        ),
        gauge(
            "Hottest GPU",
            "Temperature of the hottest GPU. A GPU slows itself down some degrees above the alert's limit.",
            now(f'max(vllm_gpu_temperature_celsius{OF_GPU[:-1]}, sensor="gpu"}})'),
            unit="celsius",
            top=100,
            thresholds=up_to(alert_limit("gpu_temperature_celsius")),
            missing=NO_GPU,
            width=3,
            decimals=0,
        ),
        share(
            "Disk",
            "Share in use of the fullest file system that can be written.",
            f"1 - vllm_host_filesystem_free_bytes{ON} / (vllm_host_filesystem_size_bytes{ON} > 0)"
            f" unless on (instance, mountpoint) vllm_host_filesystem_read_only{ON} == 1",
            steps((0, "green"), (0.85, "yellow"), (0.95, "red")),
            width=3,
        ),
        data_age(height=5),
    )


def share(title: str, description: str, expr: str, thresholds: Json, missing: str = "unknown", width: int = 4) -> Panel:
    """The largest share of all that `expr` gives."""
    return gauge(
        title,
        description,
        now(f"max({expr})"),
        unit="percentunit",
        top=1,
        thresholds=thresholds,
        missing=missing,
        width=width,
        decimals=0,
    )


def host() -> tuple[Panel, ...]:
    rate = "[$__rate_interval]"
    return (
        timeseries(
            "CPU Usage",
            "CPUs in use by what they do, of all chosen hosts. iowait: idle, and waiting for a disk.",
            Query(f"sum by (mode) (rate(vllm_host_cpu_seconds_total{BUSY}{rate}))", "{{mode}}"),
            unit="suffix: CPUs",
            width=8,
            stacked=True,
        ),
        timeseries(
            "Memory by Use",
            "Of all chosen hosts: taken by programs, cache of files (given away when needed), and the size.",
            Query(f"sum(vllm_host_memory_anonymous_bytes{ON})", "programs", colour="blue"),
            Query(f"sum(vllm_host_memory_cached_bytes{ON})", "cache", colour="super-light-blue"),
            Query(f"sum(vllm_host_memory_total_bytes{ON})", "size", colour="text"),
            unit="bytes",
            width=8,
        ),
        timeseries(
            "Network I/O",
            "Bytes per second, received above and sent below the line, without loopback.",
            Query(
                f"sum(rate(vllm_host_network_receive_bytes_total{NETWORK}{rate}))",
                "received",
                colour="blue",
            ),
            Query(
                f"sum(rate(vllm_host_network_transmit_bytes_total{NETWORK}{rate}))",
                "sent",
                colour="purple",
            ),
            unit="Bps",
            width=8,
            mirrored=("sent",),
        ),
        timeseries(
            "Disk I/O",
            "Bytes per second, read above and written below the line.",
            Query(f"sum(rate(vllm_host_disk_read_bytes_total{ON}{rate}))", "read", colour="blue"),
            Query(f"sum(rate(vllm_host_disk_written_bytes_total{ON}{rate}))", "written", colour="purple"),
            unit="Bps",
            width=12,
            mirrored=("written",),
        ),
        timeseries(
            "Pressure",
            "Share of the time in which at least one task waited for the resource, of the host that waits most. "
            "Memory above a few percent: it swaps, or will kill.",
            Query(
                f"max by (resource) (rate(vllm_host_pressure_seconds_total{SOME}{rate}))",
                "{{resource}}",
            ),
            unit="percentunit",
            width=12,
            soft_top=0.1,
        ),
    )


def gpus() -> tuple[Panel, ...]:
    temperature = f'vllm_gpu_temperature_celsius{OF_GPU[:-1]}, sensor="gpu"}}'
    return (
        timeseries(
            "GPU Memory Timeline",
            "Memory of all chosen GPUs by whom it belongs to: vLLM's processes by role, others without one; and the "
            "size. vLLM reserves its share at the start; a line that climbs afterwards is a leak.",
            Query(f"sum by (role) (vllm_gpu_process_memory_bytes{OF_GPU})", "{{role}}"),
            Query(f"sum(vllm_gpu_memory_used_bytes{OF_GPU})", "in use", colour="dark-blue"),
            Query(f"sum(vllm_gpu_memory_total_bytes{OF_GPU})", "size", colour="text"),
            unit="bytes",
            missing=NO_GPU,
        ),
        timeseries(
            "GPU Temperature",
            "The hottest GPU, and the median.",
            Query(f"max({temperature})", "hottest", colour="dark-blue"),
            Query(f"quantile(0.5, {temperature})", "median", colour="super-light-blue"),
            unit="celsius",
            limit=limit_near("gpu_temperature_celsius", temperature),
            missing=NO_GPU,
        ),
        timeseries(
            "GPU Activity",
            "Mean of all chosen GPUs: time with any kernel (utilization), SMs with work, tensor cores, and memory "
            "bandwidth in use. Before Hopper the driver has only the first.",
            Query(f"avg(vllm_gpu_utilization_percent{OF_GPU}) / 100", "utilization", colour="super-light-blue"),
            Query(f"avg(vllm_gpu_sm_active_ratio{OF_GPU})", "SM", colour="blue"),
            Query(f"avg(vllm_gpu_tensor_active_ratio{OF_GPU})", "tensor", colour="purple"),
            Query(f"avg(vllm_gpu_dram_bandwidth_ratio{OF_GPU})", "memory bandwidth", colour="orange"),
            unit="percentunit",
            missing=NO_GPU,
        ),
        timeseries(
            "GPU Power",
            "Of all chosen GPUs, and their limits together.",
            Query(f"sum(vllm_gpu_power_watts{OF_GPU})", "drawn", colour="blue"),
            Query(f"sum(vllm_gpu_power_limit_watts{OF_GPU})", "limits", colour="text"),
            unit="watt",
            missing=NO_GPU,
        ),
        state_timeline(
            "GPU Throttling",
            "Why clocks are held down. Idle is no reason and is left out; power is usual under full load.",
            Query(
                f'max by (instance, gpu_id, reason) (vllm_gpu_throttle_active{OF_GPU[:-1]}, reason!="idle"}} == 1)',
                EACH_GPU + " {{reason}}",
            ),
            mappings=words({1: ("held down", "orange")}),
            width=16,
            height=8,
        ),
    )


def kv() -> tuple[Panel, ...]:
    return (
        timeseries(
            "KV Cache Blocks",
            "In use by requests, of the five servers that use most, and all that there are.",
            Query(f'topk(5, sum by (server) (vllm_kv_blocks{HERE[:-1]}, state="used"}}))', "{{server}}"),
            Query(f'sum(vllm_kv_blocks{HERE[:-1]}, state="total"}})', "all there are", colour="text"),
            decimals=0,
        ),
        timeseries(
            "KV Blocks Taken and Given Back",
            "Per second, at least: taken above, given back below the line. Taken and not given back: a hang.",
            Query(f"sum(rate(vllm_kv_blocks_allocated_total{HERE}[$__rate_interval]))", "taken", colour="blue"),
            Query(f"sum(rate(vllm_kv_blocks_released_total{HERE}[$__rate_interval]))", "given back", colour="purple"),
            unit="ops",
            mirrored=("given back",),
        ),
        timeseries(
            "KV Cache in Use",
            "Share in use of the fullest engine of the chosen servers.",
            Query(
                f"max(max_over_time(server:vllm_kv_cache_usage_ratio:max{HERE}[$__interval]))", "fullest", colour="blue"
            ),
            unit="percentunit",
        ),
    )


def processes() -> tuple[Panel, ...]:
    by = "server, role, rank"
    return (
        table(
            "Processes",
            "Those of the chosen servers, the largest first. GPU memory: where the driver says whose it is.",
            (
                Column(
                    "Running for", f"max by ({by}) (time() - vllm_process_start_time_seconds{HERE})", "s", decimals=0
                ),
                Column(
                    "CPUs", f"sum by ({by}) (rate(vllm_process_cpu_seconds_total{HERE}[$__rate_interval]))", decimals=2
                ),
                Column("Memory", f"sum by ({by}) (vllm_process_resident_memory_bytes{HERE})", "bytes", decimals=1),
                Column("GPU memory", f"sum by ({by}) (vllm_gpu_process_memory_bytes{HERE})", "bytes", decimals=1),
                Column("Threads", f"sum by ({by}) (vllm_process_threads{HERE})", decimals=0),
                Column("Open files", f"sum by ({by}) (vllm_process_open_fds{HERE})", decimals=0),
            ),
            keys={"server": "Server", "role": "Role", "rank": "Rank"},
            every=f"group by ({by}) (vllm_process_start_time_seconds{HERE})",
            sort="Memory",
            descending=True,
            width=16,
            missing="No process is seen",
        ),
        bars(
            "Processes Ended",
            "By cause: clean (asked to, code 0), sigterm, sigkill, oom, error and others.",
            Query(
                'sum by (cause) (increase(vllm_process_exits_total{server=~"$server"}[$__interval])) > 0', "{{cause}}"
            ),
            width=8,
            missing="No process has ended",
            colours={"clean": "green", "sigterm": "blue", "error": "red", "sigkill": "dark-red", "oom": "purple"},
        ),
    )


BOARD = Board(
    uid=uid("resources"),
    title="vLLM Monitor / Resources",
    description="What the hosts, the GPUs and the KV caches have left, and who uses it.",
    rows=(
        Row("What is nearly used up?", left()),
        Row("What do the hosts do?", host()),
        Row("What do the GPUs do?", gpus()),
        Row("How full are the KV caches?", kv()),
        Row("Which process uses what?", processes()),
    ),
    variables=(HOST, GPU),
)

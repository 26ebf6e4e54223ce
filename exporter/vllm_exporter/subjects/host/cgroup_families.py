"""The control groups (cgroup v2) of vLLM servers and of the exporter."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

CGROUP_MEMORY_LIMIT_BYTES = Family(
    "vllm_cgroup_memory_limit_bytes",
    "gauge",
    "Memory that the server's cgroup may use, in bytes: the lowest limit on the way up; absent when there is none.",
    ("server",),
)
CGROUP_MEMORY_USED_BYTES = Family(
    "vllm_cgroup_memory_used_bytes",
    "gauge",
    "Memory in use in the cgroup that the limit is of, in bytes, cache of files included.",
    ("server",),
)
CGROUP_MEMORY_WORKING_SET_BYTES = Family(
    "vllm_cgroup_memory_working_set_bytes",
    "gauge",
    "Memory in use without the cache of files that can be dropped first, in bytes.",
    ("server",),
)
CGROUP_MEMORY_EVENTS_TOTAL = Family(
    "vllm_cgroup_memory_events_total",
    "counter",
    "How often the cgroup met its memory limit, by event: high, max, oom, oom_kill (processes killed).",
    ("server", "event"),
)
CGROUP_SWAP_USED_BYTES = Family(
    "vllm_cgroup_swap_used_bytes", "gauge", "Swap space in use by the server's cgroup, in bytes.", ("server",)
)
CGROUP_CPU_QUOTA_CPUS = Family(
    "vllm_cgroup_cpu_quota_cpus",
    "gauge",
    "CPUs that the server's cgroup may use on average: the lowest quota on the way up; absent when there is none.",
    ("server",),
)
CGROUP_CPUS = Family("vllm_cgroup_cpus", "gauge", "Number of CPUs that the server may run on.", ("server",))
CGROUP_CPU_SECONDS_TOTAL = Family(
    "vllm_cgroup_cpu_seconds_total", "counter", "CPU time of the server's cgroup in seconds.", ("server",)
)
CGROUP_CPU_PERIODS_TOTAL = Family(
    "vllm_cgroup_cpu_periods_total", "counter", "Periods of the CPU quota in which the cgroup had work.", ("server",)
)
CGROUP_CPU_THROTTLED_PERIODS_TOTAL = Family(
    "vllm_cgroup_cpu_throttled_periods_total",
    "counter",
    "Periods in which the cgroup was stopped because its CPU quota was used up.",
    ("server",),
)
CGROUP_CPU_THROTTLED_SECONDS_TOTAL = Family(
    "vllm_cgroup_cpu_throttled_seconds_total",
    "counter",
    "Seconds for which the cgroup was stopped because its CPU quota was used up, summed over CPUs.",
    ("server",),
)
CGROUP_PRESSURE_SECONDS_TOTAL = Family(
    "vllm_cgroup_pressure_seconds_total",
    "counter",
    "Seconds in which some or all (full) tasks of the cgroup waited for the resource (cpu, memory, io).",
    ("server", "resource", "kind"),
)
CGROUP_PROCESSES = Family(
    "vllm_cgroup_processes", "gauge", "Processes and threads in the cgroup that has the limit.", ("server",)
)
CGROUP_PROCESSES_LIMIT = Family(
    "vllm_cgroup_processes_limit",
    "gauge",
    "Processes and threads that the cgroup may have; absent when it has no limit.",
    ("server",),
)

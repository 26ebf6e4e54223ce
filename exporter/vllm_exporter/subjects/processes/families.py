"""vLLM's processes. The server is "" when a process tree cannot be joined to a target."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

_PROCESS = ("server", "role", "rank")

PROCESSES = Family(
    "vllm_processes",
    "gauge",
    "Live vLLM processes by role (api_server, engine_core, worker, coordinator).",
    ("server", "role"),
)
PROCESS_RESIDENT_MEMORY_BYTES = Family(
    "vllm_process_resident_memory_bytes", "gauge", "Resident memory of the process in bytes.", _PROCESS
)
PROCESS_CPU_SECONDS_TOTAL = Family(
    "vllm_process_cpu_seconds_total", "counter", "CPU time of the process, user and system, in seconds.", _PROCESS
)
PROCESS_THREADS = Family("vllm_process_threads", "gauge", "Threads of the process.", _PROCESS)
PROCESS_START_TIME_SECONDS = Family(
    "vllm_process_start_time_seconds", "gauge", "Unix time at which the process started.", _PROCESS
)
PROCESS_ORPHANS = Family(
    "vllm_process_orphans",
    "gauge",
    "Engine and worker processes that were left behind when their API server, or engine, ended.",
    ("server",),
)
PROCESS_STATES = Family(
    "vllm_process_states",
    "gauge",
    "Processes whose main thread is in this state: running, sleeping, uninterruptible (D: it waits in the kernel, often"
    " for a driver or a disk), stopped.",
    ("server", "role", "state"),
)
PROCESS_OPEN_FDS = Family("vllm_process_open_fds", "gauge", "File descriptors that the process has open.", _PROCESS)
PROCESS_PROPORTIONAL_MEMORY_BYTES = Family(
    "vllm_process_proportional_memory_bytes",
    "gauge",
    "Memory of the process in bytes, shared pages divided by the number of processes that share them (PSS).",
    _PROCESS,
)
PROCESS_RESTARTS_TOTAL = Family(
    "vllm_process_restarts_total",
    "counter",
    "Times that another API server took the place of the one before, since the exporter started.",
    ("server",),
)
PROCESS_EXITS_TOTAL = Family(
    "vllm_process_exits_total",
    "counter",
    "vLLM processes that ended, by cause (clean, error, sigterm, sigkill, crash, signal, oom_kill, unknown), since the"
    " exporter started.",
    ("server", "role", "cause"),
)
PROCESS_CONTAINER_INFO = Family(
    "vllm_process_container_info",
    "gauge",
    "1 for each process in a container, with the container's name, or the first 12 digits of its id.",
    (*_PROCESS, "container"),
)

"""vLLM's processes. The server is "" when a process tree cannot be joined to a target."""

from __future__ import annotations

from vllm_exporter.family import Family

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
    "vllm_process_orphans", "gauge", "Engine and worker processes whose API server is gone.", ("server",)
)

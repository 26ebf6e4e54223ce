"""Every metric family of the exporter, each declared once. A constant is the family's name without `vllm_`."""

from __future__ import annotations

from vllm_exporter.family import Family

# The exporter itself.

EXPORTER_BUILD_INFO = Family(
    "vllm_exporter_build_info", "gauge", "Always 1; the labels say which exporter runs.", ("version", "python")
)
EXPORTER_TARGETS = Family("vllm_exporter_targets", "gauge", "Number of vLLM servers the exporter is told to watch.")
EXPORTER_COLLECTOR_SUCCESS = Family(
    "vllm_exporter_collector_success",
    "gauge",
    "1 if the collector's last run worked, 0 if it failed or hangs.",
    ("collector",),
)
EXPORTER_COLLECTOR_NO_DATA = Family(
    "vllm_exporter_collector_no_data",
    "gauge",
    "1 if the collector works but its subject is not there, else 0.",
    ("collector",),
)
EXPORTER_COLLECTOR_DURATION_SECONDS = Family(
    "vllm_exporter_collector_duration_seconds",
    "gauge",
    "Duration of the collector's last run; while a run hangs, its time so far.",
    ("collector",),
)
EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS = Family(
    "vllm_exporter_collector_last_success_timestamp_seconds",
    "gauge",
    "Unix time at which the collector last finished without failing.",
    ("collector",),
)
EXPORTER_COLLECTOR_ERRORS_TOTAL = Family(
    "vllm_exporter_collector_errors_total", "counter", "Runs of the collector that failed.", ("collector",)
)

# Probes of a server: what it answers.

PROBE_HEALTH = Family(
    "vllm_probe_health",
    "gauge",
    "1 for the result of the last /health probe (ok, refused, timeout, 503, other), 0 for the others.",
    ("server", "result"),
)
PROBE_HEALTH_SECONDS = Family("vllm_probe_health_seconds", "gauge", "Duration of the last /health probe.", ("server",))
CANARY_SUCCESS = Family(
    "vllm_canary_success",
    "gauge",
    "1 if the last finished canary request got its token, else 0; absent before the first.",
    ("server",),
)
CANARY_SECONDS = Family("vllm_canary_seconds", "gauge", "Duration of the last finished canary request.", ("server",))
CANARY_CONSECUTIVE_FAILURES = Family(
    "vllm_canary_consecutive_failures", "gauge", "Canary requests failed since the last that worked.", ("server",)
)
CANARY_REQUESTS_TOTAL = Family(
    "vllm_canary_requests_total",
    "counter",
    "Canary requests by result (ok, timeout, error, not_applicable).",
    ("server", "result"),
)

# Progress of a server's engine.

SERVER_PROGRESS_AGE_SECONDS = Family(
    "vllm_server_progress_age_seconds",
    "gauge",
    "Seconds since a value pushed by the engine changed or, if later, since work appeared.",
    ("server",),
)
SERVER_WORK_PRESENT = Family(
    "vllm_server_work_present",
    "gauge",
    "1 if requests run or wait or a canary is unanswered, else 0.",
    ("server",),
)
SERVER_STALLED = Family(
    "vllm_server_stalled",
    "gauge",
    "1 if the engine has work and made no progress for longer than the limit, else 0.",
    ("server",),
)
SERVER_STALL_LIMIT_SECONDS = Family(
    "vllm_server_stall_limit_seconds",
    "gauge",
    "Seconds without progress after which the server counts as stalled.",
    ("server",),
)

# State of a server.

SERVER_READY = Family("vllm_server_ready", "gauge", "1 if /health is fine now, else 0.", ("server",))
SERVER_READY_AGE_SECONDS = Family(
    "vllm_server_ready_age_seconds", "gauge", "Seconds since the server became ready.", ("server",)
)
SERVER_PAUSED = Family(
    "vllm_server_paused", "gauge", "1 if the server says it is paused, 0 if not, absent if it is silent.", ("server",)
)
SERVER_SLEEPING = Family("vllm_server_sleeping", "gauge", "1 if the engine sleeps, else 0.", ("server",))
SERVER_METRICS_READABLE = Family(
    "vllm_server_metrics_readable", "gauge", "1 if /metrics was read and had vllm: families, else 0.", ("server",)
)

# Sequences, read from vLLM under the names of the field's guide.

NUM_RUNNING_SEQUENCES = Family(
    "vllm_num_running_sequences", "gauge", "Sequences being computed, summed over engines.", ("server",)
)
NUM_WAITING_SEQUENCES = Family(
    "vllm_num_waiting_sequences", "gauge", "Sequences waiting for the scheduler, summed over engines.", ("server",)
)
NUM_SWAPPED_SEQUENCES = Family(
    "vllm_num_swapped_sequences", "gauge", "Sequences swapped out to the CPU, where vLLM has such.", ("server",)
)
KV_CACHE_UTILIZATION_PERCENT = Family(
    "vllm_kv_cache_utilization_percent",
    "gauge",
    "Used share of the KV cache, 0 to 100, of the fullest engine.",
    ("server",),
)
SCHEDULER_ITERATIONS_TOTAL = Family(
    "vllm_scheduler_iterations_total",
    "counter",
    "Scheduler iterations that produced output, summed over engines.",
    ("server",),
)

# vLLM's processes. The server is "" when a process tree cannot be joined to a target.

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

# The host.

HOST_CPU_SECONDS_TOTAL = Family(
    "vllm_host_cpu_seconds_total", "counter", "CPU time in seconds by mode, summed over CPUs.", ("mode",)
)
HOST_MEMORY_TOTAL_BYTES = Family("vllm_host_memory_total_bytes", "gauge", "Memory of the host in bytes.")
HOST_MEMORY_AVAILABLE_BYTES = Family(
    "vllm_host_memory_available_bytes", "gauge", "Memory a new program could get without swapping, in bytes."
)
HOST_SWAP_TOTAL_BYTES = Family("vllm_host_swap_total_bytes", "gauge", "Swap space of the host in bytes.")
HOST_SWAP_USED_BYTES = Family("vllm_host_swap_used_bytes", "gauge", "Swap space in use in bytes.")
HOST_LOAD = Family(
    "vllm_host_load", "gauge", "Tasks running or waiting, averaged over the window (1m, 5m, 15m).", ("window",)
)
HOST_PRESSURE_SECONDS_TOTAL = Family(
    "vllm_host_pressure_seconds_total",
    "counter",
    "Seconds in which some or all (full) tasks waited for the resource (cpu, memory, io).",
    ("resource", "kind"),
)
HOST_SHM_SIZE_BYTES = Family("vllm_host_shm_size_bytes", "gauge", "Size of /dev/shm in bytes.")
HOST_SHM_FREE_BYTES = Family("vllm_host_shm_free_bytes", "gauge", "Free space of /dev/shm in bytes.")
HOST_NETWORK_RECEIVE_BYTES_TOTAL = Family(
    "vllm_host_network_receive_bytes_total", "counter", "Bytes received by the network device.", ("device",)
)
HOST_NETWORK_TRANSMIT_BYTES_TOTAL = Family(
    "vllm_host_network_transmit_bytes_total", "counter", "Bytes sent by the network device.", ("device",)
)
HOST_DISK_READ_BYTES_TOTAL = Family(
    "vllm_host_disk_read_bytes_total", "counter", "Bytes read from the disk.", ("device",)
)
HOST_DISK_WRITTEN_BYTES_TOTAL = Family(
    "vllm_host_disk_written_bytes_total", "counter", "Bytes written to the disk.", ("device",)
)
HOST_FILE_DESCRIPTORS_ALLOCATED = Family(
    "vllm_host_file_descriptors_allocated", "gauge", "File handles allocated on the host."
)
HOST_FILE_DESCRIPTORS_LIMIT = Family("vllm_host_file_descriptors_limit", "gauge", "File handles the host allows.")

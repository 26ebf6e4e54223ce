"""GPUs. `gpu_id` is the driver's index; for a MIG instance the index of its GPU and its own: 0:1."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family, MetricKind


def _family(name: str, kind: MetricKind, words: str, *labels: str) -> Family:
    return Family(f"vllm_gpu_{name}", kind, words, ("gpu_id", *labels))


# Static facts.
GPU_INFO = _family(
    "info",
    "gauge",
    "Always 1; what the GPU or MIG instance is.",
    "uuid",
    "name",
    "pci_address",
    "compute_capability",
    "driver_version",
    "cuda_version",
    "vbios_version",
)
GPU_TEMPERATURE_THRESHOLD_CELSIUS = _family(
    "temperature_threshold_celsius",
    "gauge",
    "Temperature in degrees Celsius at which the GPU acts (slowdown, shutdown) or that it should not exceed "
    "(gpu_max, memory_max).",
    "threshold",
)
GPU_TEMPERATURE_MARGIN_THRESHOLD_CELSIUS = _family(
    "temperature_margin_threshold_celsius",
    "gauge",
    "Margin in degrees Celsius, as in vllm_gpu_temperature_margin_celsius, at which the GPU acts.",
    "threshold",
)
GPU_CLOCK_MAX_HERTZ = _family("clock_max_hertz", "gauge", "Highest frequency of the clock (sm, memory).", "clock")

# Read every time.
GPU_UTILIZATION_PERCENT = _family(
    "utilization_percent", "gauge", "Share of the last sample period with a kernel running, 0 to 100."
)
GPU_MEMORY_BUSY_RATIO = _family(
    "memory_busy_ratio", "gauge", "Share of the last sample period in which memory was read or written; no bandwidth."
)
GPU_MEMORY_USED_BYTES = _family("memory_used_bytes", "gauge", "Memory allocated in bytes, without what is reserved.")
GPU_MEMORY_TOTAL_BYTES = _family("memory_total_bytes", "gauge", "Memory in bytes.")
GPU_MEMORY_UNIFIED = _family(
    "memory_unified",
    "gauge",
    "1 for a GPU without memory of its own: total and used are those of the host. Absent for others.",
)
GPU_MEMORY_RESERVED_BYTES = _family(
    "memory_reserved_bytes", "gauge", "Memory the driver and firmware keep for themselves in bytes."
)
GPU_TEMPERATURE_CELSIUS = _family(
    "temperature_celsius", "gauge", "Temperature in degrees Celsius by sensor (gpu, memory).", "sensor"
)
GPU_POWER_WATTS = _family("power_watts", "gauge", "Power drawn in watts, averaged over a second where it can be.")
GPU_POWER_INSTANT_WATTS = _family("power_instant_watts", "gauge", "Power drawn in watts, the last sample.")
GPU_ENERGY_JOULES_TOTAL = _family("energy_joules_total", "counter", "Energy used in joules since the driver loaded.")
GPU_CLOCK_HERTZ = _family("clock_hertz", "gauge", "Present frequency of the clock (sm, memory).", "clock")
GPU_THROTTLE_ACTIVE = _family(
    "throttle_active", "gauge", "1 while the clocks are held down for this reason, else 0; idle is one.", "reason"
)
GPU_THROTTLE_SECONDS_TOTAL = _family(
    "throttle_seconds_total", "counter", "Seconds in which the clocks were held down, by cause.", "cause"
)
GPU_PERFORMANCE_STATE = _family("performance_state", "gauge", "P-state: 0 is the fastest, 15 the slowest.")
GPU_PCIE_TRANSMIT_BYTES_TOTAL = _family("pcie_transmit_bytes_total", "counter", "Bytes sent over PCIe.")
GPU_PCIE_RECEIVE_BYTES_TOTAL = _family("pcie_receive_bytes_total", "counter", "Bytes received over PCIe.")
GPU_NVLINK_TRANSMIT_BYTES_TOTAL = _family("nvlink_transmit_bytes_total", "counter", "Bytes of data sent over NVLink.")
GPU_NVLINK_RECEIVE_BYTES_TOTAL = _family("nvlink_receive_bytes_total", "counter", "Bytes of data received over NVLink.")
GPU_SM_ACTIVE_RATIO = _family(
    "sm_active_ratio",
    "gauge",
    "Share of cycles with work, averaged over multiprocessors (Hopper and newer).",
)
GPU_SM_OCCUPANCY_RATIO = _family(
    "sm_occupancy_ratio", "gauge", "Active warps relative to the most there can be (Hopper and newer)."
)
GPU_TENSOR_ACTIVE_RATIO = _family(
    "tensor_active_ratio", "gauge", "Share of cycles in which tensor cores worked (Hopper and newer)."
)
GPU_DRAM_BANDWIDTH_RATIO = _family(
    "dram_bandwidth_ratio", "gauge", "Memory bandwidth used relative to what the memory can do (Hopper and newer)."
)
GPU_SM_CYCLES_TOTAL = _family("sm_cycles_total", "counter", "Cycles of the multiprocessors, where the driver counts.")
GPU_SM_ACTIVE_CYCLES_TOTAL = _family(
    "sm_active_cycles_total", "counter", "Cycles in which multiprocessors had work, where the driver counts."
)
GPU_TENSOR_ACTIVE_CYCLES_TOTAL = _family(
    "tensor_active_cycles_total", "counter", "Cycles in which tensor cores worked, where the driver counts."
)

# Read every ten seconds.
GPU_POWER_LIMIT_WATTS = _family("power_limit_watts", "gauge", "Power limit in force, in watts.")
GPU_POWER_LIMIT_DEFAULT_WATTS = _family("power_limit_default_watts", "gauge", "Power limit as shipped, in watts.")
GPU_TEMPERATURE_MARGIN_CELSIUS = _family(
    "temperature_margin_celsius", "gauge", "Degrees Celsius left until the clocks slow down (Hopper and newer)."
)
GPU_ECC_ENABLED = _family("ecc_enabled", "gauge", "1 while errors in memory are corrected (ECC), else 0.")
GPU_ECC_ERRORS_TOTAL = _family(
    "ecc_errors_total",
    "counter",
    "Memory errors (corrected, uncorrected) since the driver loaded (volatile) or ever (aggregate).",
    "type",
    "scope",
)
GPU_REMAPPED_ROWS = _family(
    "remapped_rows", "gauge", "Rows of memory replaced by spare ones after errors (corrected, uncorrected).", "cause"
)
GPU_ROW_REMAP_PENDING = _family("row_remap_pending", "gauge", "1 when a row waits for a GPU reset to be replaced.")
GPU_ROW_REMAP_FAILED = _family("row_remap_failed", "gauge", "1 when a row could not be replaced: no spare is left.")
GPU_RETIRED_PAGES = _family(
    "retired_pages", "gauge", "Pages of memory taken out of use (single_bit, double_bit); before Ampere.", "cause"
)
GPU_RETIRED_PAGES_PENDING = _family(
    "retired_pages_pending", "gauge", "1 when a page waits for a restart to be retired; before Ampere."
)
GPU_RECOVERY_ACTION = _family(
    "recovery_action", "gauge", "Always 1; what the driver asks for to make the GPU healthy, or none.", "action"
)
GPU_PCIE_REPLAYS_TOTAL = _family("pcie_replays_total", "counter", "PCIe packets sent again after an error.")
GPU_PCIE_ERRORS_TOTAL = _family("pcie_errors_total", "counter", "PCIe errors by type.", "type")
GPU_PCIE_LINK_GENERATION = _family("pcie_link_generation", "gauge", "PCIe generation of the link; lower when idle.")
GPU_PCIE_LINK_GENERATION_MAX = _family(
    "pcie_link_generation_max", "gauge", "Highest PCIe generation that GPU and slot can do."
)
GPU_PCIE_LINK_LANES = _family("pcie_link_lanes", "gauge", "PCIe lanes in use.")
GPU_PCIE_LINK_LANES_MAX = _family("pcie_link_lanes_max", "gauge", "PCIe lanes that GPU and slot have.")
GPU_NVLINK_LINKS = _family("nvlink_links", "gauge", "NVLinks by state (active, inactive).", "state")
GPU_NVLINK_ERRORS_TOTAL = _family("nvlink_errors_total", "counter", "NVLink errors by type, over all links.", "type")
GPU_FABRIC_STATE = _family(
    "fabric_state", "gauge", "1 for the present state of joining the NVLink fabric, 0 for the others.", "state"
)
GPU_FABRIC_PROBLEM = _family(
    "fabric_problem", "gauge", "1 while the NVLink fabric has this problem at the GPU, else 0.", "problem"
)
GPU_PERSISTENCE_MODE = _family(
    "persistence_mode", "gauge", "1 when the driver keeps the GPU ready without users; 0 makes the first call slow."
)
GPU_MIG_ENABLED = _family("mig_enabled", "gauge", "1 while the GPU is split into instances (MIG), else 0.")
GPU_NVML_LATENCY_SECONDS = _family(
    "nvml_latency_seconds", "gauge", "Longest time of one value in the last slow reading, as the driver reports it."
)
GPU_PROCESSES = Family(
    "vllm_gpu_processes",
    "gauge",
    "Processes that compute on the GPU; role is empty when they are not vLLM's.",
    ("gpu_id", "server", "role", "rank"),
)
GPU_PROCESS_MEMORY_BYTES = Family(
    "vllm_gpu_process_memory_bytes",
    "gauge",
    "GPU memory of processes in bytes; role is empty when they are not vLLM's.",
    ("gpu_id", "server", "role", "rank"),
)
GPU_PROCESS_SM_RATIO = Family(
    "vllm_gpu_process_sm_ratio",
    "gauge",
    "Share of time in which processes had kernels running; role is empty when they are not vLLM's.",
    ("gpu_id", "server", "role", "rank"),
)

# Errors of GPUs, and the state of the readings.
GPU_LOST = _family(
    "lost",
    "gauge",
    "1 when the driver has lost the GPU (fallen off the bus) or it does not answer, else 0; uuid empty if unknown.",
    "uuid",
)
GPU_XID_ERRORS_TOTAL = _family(
    "xid_errors_total",
    "counter",
    "XID errors since the exporter started, by code and the immediate action that NVIDIA names (class).",
    "xid",
    "class",
)
GPU_XID_LAST_SEEN_TIMESTAMP_SECONDS = _family(
    "xid_last_seen_timestamp_seconds", "gauge", "Unix time of the last XID error of the code.", "xid"
)
GPU_KERNEL_ERRORS_TOTAL = Family(
    "vllm_gpu_kernel_errors_total",
    "counter",
    "Lines of the kernel's log about faults of GPUs and NVSwitches that are no XIDs, since the exporter started.",
    ("kind", "severity"),
)
GPU_NVML_ERRORS_TOTAL = Family(
    "vllm_gpu_nvml_errors_total",
    "counter",
    "Calls to the driver's library that failed, by function and code; not_supported is counted once.",
    ("function", "code"),
)
GPU_SNAPSHOT_AGE_SECONDS = Family(
    "vllm_gpu_snapshot_age_seconds", "gauge", "Age of the readings of GPUs in seconds; it grows while the driver hangs."
)
GPU_DRIVER_HUNG = Family(
    "vllm_gpu_driver_hung", "gauge", "1 while a call to the GPU driver has not returned within its deadline, else 0."
)
GPU_READ_SECONDS = Family(
    "vllm_gpu_read_seconds", "gauge", "Time the last reading of all GPUs took, by part (fast, slow).", ("part",)
)

STATIC = (
    GPU_INFO,
    GPU_TEMPERATURE_THRESHOLD_CELSIUS,
    GPU_TEMPERATURE_MARGIN_THRESHOLD_CELSIUS,
    GPU_CLOCK_MAX_HERTZ,
    GPU_PCIE_LINK_GENERATION_MAX,
    GPU_PCIE_LINK_LANES_MAX,
    GPU_POWER_LIMIT_DEFAULT_WATTS,
)
FAST = (
    GPU_UTILIZATION_PERCENT,
    GPU_MEMORY_BUSY_RATIO,
    GPU_MEMORY_USED_BYTES,
    GPU_MEMORY_TOTAL_BYTES,
    GPU_MEMORY_RESERVED_BYTES,
    GPU_TEMPERATURE_CELSIUS,
    GPU_POWER_WATTS,
    GPU_POWER_INSTANT_WATTS,
    GPU_ENERGY_JOULES_TOTAL,
    GPU_CLOCK_HERTZ,
    GPU_THROTTLE_ACTIVE,
    GPU_THROTTLE_SECONDS_TOTAL,
    GPU_PERFORMANCE_STATE,
    GPU_PCIE_TRANSMIT_BYTES_TOTAL,
    GPU_PCIE_RECEIVE_BYTES_TOTAL,
    GPU_NVLINK_TRANSMIT_BYTES_TOTAL,
    GPU_NVLINK_RECEIVE_BYTES_TOTAL,
    GPU_SM_ACTIVE_RATIO,
    GPU_SM_OCCUPANCY_RATIO,
    GPU_TENSOR_ACTIVE_RATIO,
    GPU_DRAM_BANDWIDTH_RATIO,
    GPU_SM_CYCLES_TOTAL,
    GPU_SM_ACTIVE_CYCLES_TOTAL,
    GPU_TENSOR_ACTIVE_CYCLES_TOTAL,
)
SHARED = (GPU_MEMORY_UNIFIED,)
SLOW = (
    GPU_POWER_LIMIT_WATTS,
    GPU_TEMPERATURE_MARGIN_CELSIUS,
    GPU_ECC_ENABLED,
    GPU_ECC_ERRORS_TOTAL,
    GPU_REMAPPED_ROWS,
    GPU_ROW_REMAP_PENDING,
    GPU_ROW_REMAP_FAILED,
    GPU_RETIRED_PAGES,
    GPU_RETIRED_PAGES_PENDING,
    GPU_RECOVERY_ACTION,
    GPU_PCIE_REPLAYS_TOTAL,
    GPU_PCIE_ERRORS_TOTAL,
    GPU_PCIE_LINK_GENERATION,
    GPU_PCIE_LINK_LANES,
    GPU_NVLINK_LINKS,
    GPU_NVLINK_ERRORS_TOTAL,
    GPU_FABRIC_STATE,
    GPU_FABRIC_PROBLEM,
    GPU_PERSISTENCE_MODE,
    GPU_MIG_ENABLED,
    GPU_NVML_LATENCY_SECONDS,
)
PROCESSES = (GPU_PROCESSES, GPU_PROCESS_MEMORY_BYTES, GPU_PROCESS_SM_RATIO)
HEALTH = (
    GPU_LOST,
    GPU_XID_ERRORS_TOTAL,
    GPU_XID_LAST_SEEN_TIMESTAMP_SECONDS,
    GPU_KERNEL_ERRORS_TOTAL,
    GPU_NVML_ERRORS_TOTAL,
    GPU_SNAPSHOT_AGE_SECONDS,
    GPU_DRIVER_HUNG,
    GPU_READ_SECONDS,
)

# Families that were checked with a stand-in for the driver only. Documents mark them; remove one here once
# benchmarks/gpu_check.py has compared it on a GPU of that maker.
STAND_IN_ONLY = (*STATIC, *FAST, *SHARED, *SLOW, *PROCESSES, *HEALTH)
AMD_STAND_IN_ONLY = (
    GPU_INFO,
    GPU_TEMPERATURE_THRESHOLD_CELSIUS,
    GPU_UTILIZATION_PERCENT,
    GPU_MEMORY_BUSY_RATIO,
    GPU_MEMORY_USED_BYTES,
    GPU_MEMORY_TOTAL_BYTES,
    GPU_MEMORY_UNIFIED,
    GPU_TEMPERATURE_CELSIUS,
    GPU_POWER_WATTS,
    GPU_POWER_INSTANT_WATTS,
    GPU_POWER_LIMIT_WATTS,
    GPU_POWER_LIMIT_DEFAULT_WATTS,
    GPU_ENERGY_JOULES_TOTAL,
    GPU_CLOCK_HERTZ,
    GPU_ECC_ERRORS_TOTAL,
    GPU_PCIE_REPLAYS_TOTAL,
    GPU_PCIE_LINK_LANES,
    GPU_PCIE_LINK_LANES_MAX,
    GPU_PCIE_LINK_GENERATION,
    GPU_PCIE_LINK_GENERATION_MAX,
    GPU_PROCESSES,
    GPU_PROCESS_MEMORY_BYTES,
)

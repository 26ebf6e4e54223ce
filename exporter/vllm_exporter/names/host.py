"""The host."""

from __future__ import annotations

from vllm_exporter.family import Family

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

"""The host, its file systems, and the control groups of servers."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

HOST_FILE_ERRORS_TOTAL = Family(
    "vllm_host_file_errors_total",
    "counter",
    "Readings of the file or directory of the kernel that failed; its series are absent then.",
    ("file",),
)

# CPU and tasks

HOST_CPU_SECONDS_TOTAL = Family(
    "vllm_host_cpu_seconds_total", "counter", "CPU time in seconds by mode, summed over CPUs.", ("mode",)
)
HOST_CPUS = Family("vllm_host_cpus", "gauge", "Number of CPUs that are online.")
HOST_CONTEXT_SWITCHES_TOTAL = Family("vllm_host_context_switches_total", "counter", "Context switches of all CPUs.")
HOST_BOOT_TIME_SECONDS = Family(
    "vllm_host_boot_time_seconds", "gauge", "Unix time in seconds at which the host booted."
)
HOST_PROCESSES_STARTED_TOTAL = Family(
    "vllm_host_processes_started_total", "counter", "Processes and threads that were started."
)
HOST_PROCESSES_RUNNING = Family(
    "vllm_host_processes_running", "gauge", "Processes and threads that run or could run now."
)
HOST_PROCESSES_BLOCKED = Family(
    "vllm_host_processes_blocked", "gauge", "Processes and threads that wait for a disk now (iowait)."
)
HOST_THREADS = Family("vllm_host_threads", "gauge", "Processes and threads that there are.")
HOST_LOAD = Family(
    "vllm_host_load", "gauge", "Tasks running or waiting, averaged over the window (1m, 5m, 15m).", ("window",)
)
HOST_PRESSURE_SECONDS_TOTAL = Family(
    "vllm_host_pressure_seconds_total",
    "counter",
    "Seconds in which some or all (full) tasks waited for the resource (cpu, memory, io, irq).",
    ("resource", "kind"),
)

# Memory

HOST_MEMORY_TOTAL_BYTES = Family("vllm_host_memory_total_bytes", "gauge", "Memory of the host in bytes.")
HOST_MEMORY_FREE_BYTES = Family("vllm_host_memory_free_bytes", "gauge", "Memory that nothing uses, in bytes.")
HOST_MEMORY_AVAILABLE_BYTES = Family(
    "vllm_host_memory_available_bytes", "gauge", "Memory a new program could get without swapping, in bytes."
)
HOST_MEMORY_BUFFERS_BYTES = Family("vllm_host_memory_buffers_bytes", "gauge", "Cache of disk blocks in bytes.")
HOST_MEMORY_CACHED_BYTES = Family(
    "vllm_host_memory_cached_bytes", "gauge", "Cache of files in bytes, shared memory included."
)
HOST_MEMORY_DIRTY_BYTES = Family(
    "vllm_host_memory_dirty_bytes", "gauge", "Cache that waits to be written to disk, in bytes."
)
HOST_MEMORY_WRITEBACK_BYTES = Family(
    "vllm_host_memory_writeback_bytes", "gauge", "Cache that is being written to disk, in bytes."
)
HOST_MEMORY_ANONYMOUS_BYTES = Family(
    "vllm_host_memory_anonymous_bytes", "gauge", "Memory of programs that no file stands behind, in bytes."
)
HOST_MEMORY_SHARED_BYTES = Family(
    "vllm_host_memory_shared_bytes", "gauge", "Shared memory and tmpfs in bytes, /dev/shm included."
)
HOST_MEMORY_LOCKED_BYTES = Family(
    "vllm_host_memory_locked_bytes", "gauge", "Memory that programs locked, which cannot be swapped out, in bytes."
)
HOST_MEMORY_KERNEL_BYTES = Family(
    "vllm_host_memory_kernel_bytes", "gauge", "Memory of the kernel that it cannot give back (slab), in bytes."
)
HOST_MEMORY_PAGE_TABLES_BYTES = Family("vllm_host_memory_page_tables_bytes", "gauge", "Page tables in bytes.")
HOST_MEMORY_COMMITTED_BYTES = Family(
    "vllm_host_memory_committed_bytes", "gauge", "Memory that was promised to programs, in bytes."
)
HOST_MEMORY_COMMIT_LIMIT_BYTES = Family(
    "vllm_host_memory_commit_limit_bytes",
    "gauge",
    "Memory that may be promised where overcommit is off (vm.overcommit_memory=2), in bytes.",
)
HOST_MEMORY_TRANSPARENT_HUGE_PAGES_BYTES = Family(
    "vllm_host_memory_transparent_huge_pages_bytes", "gauge", "Memory of programs in transparent huge pages, in bytes."
)
HOST_HUGE_PAGES_TOTAL_BYTES = Family(
    "vllm_host_huge_pages_total_bytes", "gauge", "Memory set aside as huge pages in bytes; absent when it is none."
)
HOST_HUGE_PAGES_FREE_BYTES = Family(
    "vllm_host_huge_pages_free_bytes", "gauge", "Huge pages that nothing uses, in bytes."
)
HOST_SWAP_TOTAL_BYTES = Family("vllm_host_swap_total_bytes", "gauge", "Swap space of the host in bytes.")
HOST_SWAP_USED_BYTES = Family("vllm_host_swap_used_bytes", "gauge", "Swap space in use in bytes.")
HOST_SWAP_IN_BYTES_TOTAL = Family("vllm_host_swap_in_bytes_total", "counter", "Bytes read back from swap.")
HOST_SWAP_OUT_BYTES_TOTAL = Family("vllm_host_swap_out_bytes_total", "counter", "Bytes written to swap.")
HOST_MAJOR_PAGE_FAULTS_TOTAL = Family(
    "vllm_host_major_page_faults_total", "counter", "Page faults that had to wait for a disk."
)
HOST_OOM_KILLS_TOTAL = Family(
    "vllm_host_oom_kills_total", "counter", "Processes that the kernel killed for lack of memory, on the whole host."
)
HOST_MEMORY_ERRORS_TOTAL = Family(
    "vllm_host_memory_errors_total",
    "counter",
    "Errors of the host's memory (ECC) by controller and kind (corrected, uncorrected), since the driver was loaded.",
    ("controller", "kind"),
)
HOST_NUMA_MEMORY_TOTAL_BYTES = Family(
    "vllm_host_numa_memory_total_bytes", "gauge", "Memory of the NUMA node in bytes.", ("node",)
)
HOST_NUMA_MEMORY_FREE_BYTES = Family(
    "vllm_host_numa_memory_free_bytes", "gauge", "Memory of the NUMA node that nothing uses, in bytes.", ("node",)
)
HOST_NUMA_MISSES_TOTAL = Family(
    "vllm_host_numa_misses_total", "counter", "Pages taken from the node because the wanted one was full.", ("node",)
)
HOST_NUMA_REMOTE_PAGES_TOTAL = Family(
    "vllm_host_numa_remote_pages_total", "counter", "Pages of the node given to programs on other nodes.", ("node",)
)

# Network

HOST_NETWORK_RECEIVE_BYTES_TOTAL = Family(
    "vllm_host_network_receive_bytes_total", "counter", "Bytes received by the network device.", ("device",)
)
HOST_NETWORK_RECEIVE_PACKETS_TOTAL = Family(
    "vllm_host_network_receive_packets_total", "counter", "Packets received by the network device.", ("device",)
)
HOST_NETWORK_RECEIVE_ERRORS_TOTAL = Family(
    "vllm_host_network_receive_errors_total", "counter", "Packets received with an error.", ("device",)
)
HOST_NETWORK_RECEIVE_DROPPED_TOTAL = Family(
    "vllm_host_network_receive_dropped_total", "counter", "Packets received and dropped.", ("device",)
)
HOST_NETWORK_TRANSMIT_BYTES_TOTAL = Family(
    "vllm_host_network_transmit_bytes_total", "counter", "Bytes sent by the network device.", ("device",)
)
HOST_NETWORK_TRANSMIT_PACKETS_TOTAL = Family(
    "vllm_host_network_transmit_packets_total", "counter", "Packets sent by the network device.", ("device",)
)
HOST_NETWORK_TRANSMIT_ERRORS_TOTAL = Family(
    "vllm_host_network_transmit_errors_total", "counter", "Packets that could not be sent.", ("device",)
)
HOST_NETWORK_TRANSMIT_DROPPED_TOTAL = Family(
    "vllm_host_network_transmit_dropped_total", "counter", "Packets dropped before they were sent.", ("device",)
)
HOST_TCP_CONNECTIONS = Family("vllm_host_tcp_connections", "gauge", "TCP connections that are established.")
HOST_TCP_SEGMENTS_SENT_TOTAL = Family("vllm_host_tcp_segments_sent_total", "counter", "TCP segments sent.")
HOST_TCP_SEGMENTS_RETRANSMITTED_TOTAL = Family(
    "vllm_host_tcp_segments_retransmitted_total", "counter", "TCP segments sent again: packets were lost."
)
HOST_TCP_LISTEN_DROPS_TOTAL = Family(
    "vllm_host_tcp_listen_drops_total", "counter", "TCP connections refused because a server did not accept in time."
)

# Disks and files

HOST_DISK_READS_TOTAL = Family("vllm_host_disk_reads_total", "counter", "Reads the disk completed.", ("device",))
HOST_DISK_READ_BYTES_TOTAL = Family(
    "vllm_host_disk_read_bytes_total", "counter", "Bytes read from the disk.", ("device",)
)
HOST_DISK_READ_SECONDS_TOTAL = Family(
    "vllm_host_disk_read_seconds_total", "counter", "Seconds that reads took, summed over reads.", ("device",)
)
HOST_DISK_WRITES_TOTAL = Family("vllm_host_disk_writes_total", "counter", "Writes the disk completed.", ("device",))
HOST_DISK_WRITTEN_BYTES_TOTAL = Family(
    "vllm_host_disk_written_bytes_total", "counter", "Bytes written to the disk.", ("device",)
)
HOST_DISK_WRITE_SECONDS_TOTAL = Family(
    "vllm_host_disk_write_seconds_total", "counter", "Seconds that writes took, summed over writes.", ("device",)
)
HOST_DISK_BUSY_SECONDS_TOTAL = Family(
    "vllm_host_disk_busy_seconds_total", "counter", "Seconds in which the disk had something to do.", ("device",)
)
HOST_FILE_DESCRIPTORS_ALLOCATED = Family(
    "vllm_host_file_descriptors_allocated", "gauge", "File handles allocated on the host."
)
HOST_FILE_DESCRIPTORS_LIMIT = Family("vllm_host_file_descriptors_limit", "gauge", "File handles the host allows.")

# File systems

HOST_SHM_SIZE_BYTES = Family("vllm_host_shm_size_bytes", "gauge", "Size of /dev/shm in bytes.")
HOST_SHM_FREE_BYTES = Family("vllm_host_shm_free_bytes", "gauge", "Free space of /dev/shm in bytes.")
SERVER_SHM_SIZE_BYTES = Family(
    "vllm_server_shm_size_bytes",
    "gauge",
    "Size of the /dev/shm that the vLLM server sees, in bytes; a container has its own.",
    ("server",),
)
SERVER_SHM_FREE_BYTES = Family(
    "vllm_server_shm_free_bytes",
    "gauge",
    "Free space of the /dev/shm that the vLLM server sees, in bytes.",
    ("server",),
)
HOST_FILESYSTEM_SIZE_BYTES = Family(
    "vllm_host_filesystem_size_bytes", "gauge", "Size of the file system in bytes.", ("mountpoint", "fstype")
)
HOST_FILESYSTEM_FREE_BYTES = Family(
    "vllm_host_filesystem_free_bytes",
    "gauge",
    "Free space of the file system in bytes, as ordinary users have it.",
    ("mountpoint", "fstype"),
)
HOST_FILESYSTEM_FILES = Family(
    "vllm_host_filesystem_files",
    "gauge",
    "Files that the file system can hold; absent when it sets no limit.",
    ("mountpoint", "fstype"),
)
HOST_FILESYSTEM_FILES_FREE = Family(
    "vllm_host_filesystem_files_free",
    "gauge",
    "Files that can still be made in the file system.",
    ("mountpoint", "fstype"),
)
HOST_FILESYSTEM_READ_ONLY = Family(
    "vllm_host_filesystem_read_only",
    "gauge",
    "1 if the file system is mounted read-only, as it is after an error of the disk, else 0.",
    ("mountpoint", "fstype"),
)
HOST_FILESYSTEMS_SKIPPED = Family(
    "vllm_host_filesystems_skipped",
    "gauge",
    "Number of file systems that are not looked at, by reason: remote (asking may hang), limit (too many), error.",
    ("reason",),
)

# The control group of a server

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

"""Metric families of both collectors: the connections of the host's devices, and its parallel ranks."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

# Topology: GPUs, network cards and processors, and which rank is where.

_PORT = ("device", "port")

TOPOLOGY_NUMA_NODE_CPUS = Family("vllm_topology_numa_node_cpus", "gauge", "CPUs of the NUMA node.", ("node",))
TOPOLOGY_GPU_NUMA_NODE = Family(
    "vllm_topology_gpu_numa_node",
    "gauge",
    "Number of the NUMA node at which the GPU is; absent if the firmware does not report it.",
    ("gpu_id", "pci_address"),
)
TOPOLOGY_GPU_LINK_INFO = Family(
    "vllm_topology_gpu_link_info",
    "gauge",
    "Always 1; link says how two GPUs are connected (NV18, PIX, PXB, PHB, NODE, SYS, as in nvidia-smi topo -m).",
    ("gpu_id", "peer", "link"),
)
TOPOLOGY_GPU_NVLINKS = Family(
    "vllm_topology_gpu_nvlinks",
    "gauge",
    "NVLinks by which two GPUs reach each other, through switches too; absent if the driver does not report them.",
    ("gpu_id", "peer"),
)
TOPOLOGY_GPU_NIC_INFO = Family(
    "vllm_topology_gpu_nic_info",
    "gauge",
    "Always 1; link says how near a network card is to a GPU (PIX, PXB, PHB, NODE, SYS).",
    ("gpu_id", "nic", "link"),
)
TOPOLOGY_RANK_INFO = Family(
    "vllm_topology_rank_info",
    "gauge",
    "Always 1; which rank of a server runs on which GPU. Sizes that are 1 have no rank.",
    ("server", "rank", "gpu_id", "tensor", "pipeline", "data", "expert"),
)
TOPOLOGY_MISTAKES = Family(
    "vllm_topology_mistakes",
    "gauge",
    "Ranks placed where they cost speed, by reason (cpus_on_other_node, no_nic_on_node, tensor_group_across_nodes).",
    ("server", "reason"),
)
TOPOLOGY_MISTAKE_INFO = Family(
    "vllm_topology_mistake_info",
    "gauge",
    "Always 1; a rank that is placed where it costs speed, and why.",
    ("server", "rank", "gpu_id", "reason"),
)

# InfiniBand and RoCE ports, and links of network devices.

INFINIBAND_PORT_ACTIVE = Family(
    "vllm_infiniband_port_active", "gauge", "1 if the port's state is ACTIVE, else 0.", _PORT
)
INFINIBAND_PORT_RATE_BYTES_PER_SECOND = Family(
    "vllm_infiniband_port_rate_bytes_per_second", "gauge", "Data rate of the port in bytes per second.", _PORT
)
INFINIBAND_RECEIVED_BYTES_TOTAL = Family(
    "vllm_infiniband_received_bytes_total", "counter", "Bytes received by the port, RDMA included.", _PORT
)
INFINIBAND_TRANSMITTED_BYTES_TOTAL = Family(
    "vllm_infiniband_transmitted_bytes_total", "counter", "Bytes sent by the port, RDMA included.", _PORT
)
INFINIBAND_TRANSMIT_WAITS_TOTAL = Family(
    "vllm_infiniband_transmit_waits_total",
    "counter",
    "Ticks of the port's clock in which it had data to send and no credit to do so: congestion.",
    _PORT,
)
INFINIBAND_ERRORS_TOTAL = Family(
    "vllm_infiniband_errors_total",
    "counter",
    "Errors of the port by the kernel's name for their counter (symbol_error, link_downed, …).",
    (*_PORT, "error"),
)
NETWORK_LINK_UP = Family("vllm_network_link_up", "gauge", "1 if the network device's link is up, else 0.", ("device",))
NETWORK_LINK_SPEED_BYTES_PER_SECOND = Family(
    "vllm_network_link_speed_bytes_per_second", "gauge", "Speed of the link in bytes per second.", ("device",)
)

# Seen on no GPU yet, only on a stand-in for the driver: docs/metrics.md says so.
STAND_IN_ONLY = (TOPOLOGY_GPU_NUMA_NODE, TOPOLOGY_GPU_LINK_INFO, TOPOLOGY_GPU_NVLINKS, TOPOLOGY_GPU_NIC_INFO)

# Distributed: sizes, ranks that hold the others up, and the steps that the in-process part counts.

_RANK = ("server", "rank")

RANK_STRAGGLER = Family(
    "vllm_rank_straggler", "gauge", "1 if the rank holds its peers up, else 0; of servers with several ranks.", _RANK
)
RANK_STRAGGLER_INFO = Family(
    "vllm_rank_straggler_info",
    "gauge",
    "Always 1; why the rank is a straggler (stopped, blocked, starved, little_cpu, slow_steps).",
    (*_RANK, "reason"),
)
RANK_STOPPED_RATIO = Family(
    "vllm_rank_stopped_ratio",
    "gauge",
    "Share of the looks of the last 30 s, 0 to 1, at which the rank's process was stopped (state T).",
    _RANK,
)
RANK_RUN_DELAY_SECONDS_TOTAL = Family(
    "vllm_rank_run_delay_seconds_total",
    "counter",
    "Seconds that the main thread of the rank's process was ready to run and waited for a CPU.",
    _RANK,
)
RANK_STEPS_TOTAL = Family("vllm_rank_steps_total", "counter", "Model steps of the rank, as it counts them.", _RANK)
RANK_STEP_SECONDS_TOTAL = Family(
    "vllm_rank_step_seconds_total", "counter", "Seconds that the rank spent in model steps.", _RANK
)
RANK_COMPUTE_SECONDS_TOTAL = Family(
    "vllm_rank_compute_seconds_total", "counter", "Seconds of its steps that the rank computed.", _RANK
)
RANK_SYNC_SECONDS_TOTAL = Family(
    "vllm_rank_sync_seconds_total", "counter", "Seconds of its steps that the rank waited for other ranks.", _RANK
)
STEP_SKEW_RATIO = Family(
    "vllm_step_skew_ratio",
    "gauge",
    "How much longer the slowest rank's step takes than the median one's, as a share, over the last 30 s.",
    ("server",),
)
PARALLEL_EFFICIENCY_RATIO = Family(
    "vllm_parallel_efficiency_ratio",
    "gauge",
    "Share of their steps that the ranks compute instead of waiting for others, 0 to 1, over the last 30 s.",
    ("server",),
)
PARALLEL_SIZE = Family(
    "vllm_parallel_size",
    "gauge",
    "Ranks of the kind (tensor, pipeline, data, expert, prefill_context, decode_context), as this host sees them.",
    ("server", "kind"),
)
PARALLEL_RANKS = Family(
    "vllm_parallel_ranks", "gauge", "Processes on this host that compute for the server.", ("server",)
)
PARALLEL_GPU_MODELS = Family(
    "vllm_parallel_gpu_models", "gauge", "Models of GPU among the server's ranks; more than 1 is a mix.", ("server",)
)
SERVER_ROLE_INFO = Family(
    "vllm_server_role_info", "gauge", "Always 1; pd_role as configured (prefill, decode).", ("server", "pd_role")
)

"""How GPUs, network cards and processors of the host hang together, and which rank is where."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family

_PORT = ("device", "port")

TOPOLOGY_NUMA_NODE_CPUS = Family("vllm_topology_numa_node_cpus", "gauge", "CPUs of the NUMA node.", ("node",))
TOPOLOGY_GPU_NUMA_NODE = Family(
    "vllm_topology_gpu_numa_node",
    "gauge",
    "Number of the NUMA node at which the GPU is; absent if the firmware does not say.",
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
    "NVLinks by which two GPUs reach each other, through switches too; absent if the driver does not say.",
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

# As in names/gpu.py: what is said of GPUs, and was never seen on one.
STAND_IN_ONLY = (TOPOLOGY_GPU_NUMA_NODE, TOPOLOGY_GPU_LINK_INFO, TOPOLOGY_GPU_NVLINKS, TOPOLOGY_GPU_NIC_INFO)

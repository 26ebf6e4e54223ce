"""Reads from /sys the places of NUMA nodes, GPUs and network cards, and the CPUs that each rank may use."""

from __future__ import annotations

import os
from pathlib import Path

from vllm_exporter.linux.files import list_names, read_link, read_word
from vllm_exporter.subjects.parallel.topology import HostTopology, Nic, PciDevice, is_gpu, parse_cpulist, parse_pci_path


def read_host(sys: Path) -> HostTopology:
    """Reads the host, in 4 ms with 200 PCI devices. Without /sys/bus/pci it has no GPUs. Raises SourceError."""
    devices = sys / "bus/pci/devices"
    gpus = (address for address in list_names(devices) if _is_gpu(devices / address))
    return HostTopology(read_nodes(sys), tuple(read_device(sys, address) for address in gpus), tuple(read_nics(sys)))


def read_fingerprint(sys: Path) -> tuple[tuple[str, ...], ...]:
    """Reads what changes when a device comes or goes: names only, in 60 µs with 200 PCI devices."""
    folders = ("bus/pci/devices", "class/infiniband", "class/net", "devices/system/node")
    return tuple(list_names(sys / folder) for folder in folders)


def read_nodes(sys: Path) -> dict[int, frozenset[int]]:
    """Returns NUMA node to its CPUs, without nodes that have none; {} where the kernel knows no NUMA."""
    folder = sys / "devices/system/node"
    names = [name for name in list_names(folder) if name.startswith("node") and name[4:].isdigit()]
    nodes = {int(name[4:]): parse_cpulist(read_word(folder / name / "cpulist")) for name in names}
    return {node: cpus for node, cpus in sorted(nodes.items()) if cpus}


def read_device(sys: Path, address: str) -> PciDevice:
    """Reads a device; -1 in numa_node means that the firmware does not report it."""
    folder = sys / "bus/pci/devices" / address
    node = read_word(folder / "numa_node")
    return PciDevice(address, parse_pci_path(read_link(folder)), int(node) if node.isdigit() else None)


def read_nics(sys: Path) -> list[Nic]:
    """Returns InfiniBand devices (RoCE ones too); where there are none, network devices that have hardware."""
    for kind in ("infiniband", "net"):
        folder = sys / "class" / kind
        links = {name: read_link(folder / name / "device").rpartition("/")[2] for name in list_names(folder)}
        found = [Nic(name, read_device(sys, link)) for name, link in links.items() if link.count(":") == 2]
        if found:
            return found
    return []


def read_allowed(pid: int) -> frozenset[int] | None:
    """Returns the CPUs on which the main thread of a process may run; None: it is gone, or we may not see it."""
    try:
        return frozenset(os.sched_getaffinity(pid))
    except (OSError, OverflowError):
        return None


def _is_gpu(folder: Path) -> bool:
    """True for a GPU. The class is read first: few devices have one that a GPU may have."""
    pci_class = read_word(folder / "class")
    return pci_class.startswith(("0x03", "0x12")) and is_gpu(read_word(folder / "vendor"), pci_class)

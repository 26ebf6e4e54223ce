"""Works out how GPUs, network cards and processors of a host are connected. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import LEVELS, LinkLevel

MOST_CPUS = 1 << 16  # more than any kernel numbers
GPU_VENDORS = ("0x10de", "0x1002")  # NVIDIA, AMD
GPU_CLASSES = ("0x0300", "0x0302", "0x0380", "0x1200")  # VGA, 3D, other display, processing accelerator


@dataclass(frozen=True)
class PciDevice:
    """A PCI device. `path` leads to it from the host bridge: ('pci0000:17', '0000:17:01.0', …, '0000:19:00.0')."""

    address: str  # as sysfs has it: 0000:19:00.0
    path: tuple[str, ...] = ()
    node: int | None = None  # NUMA node; None: the firmware does not report it


@dataclass(frozen=True)
class Nic:
    name: str  # mlx5_0, or eth0 where there is no InfiniBand device
    device: PciDevice


@dataclass(frozen=True)
class HostTopology:
    """The devices of a host. `nodes`: NUMA node to its CPUs, without nodes of memory only, such as a GPU's."""

    nodes: Mapping[int, frozenset[int]]
    gpus: tuple[PciDevice, ...]  # by address
    nics: tuple[Nic, ...]


def is_gpu(vendor: str, pci_class: str) -> bool:
    """True for a GPU, by the files `vendor` and `class` of a device."""
    return vendor.strip() in GPU_VENDORS and pci_class.strip()[:6] in GPU_CLASSES


def parse_cpulist(text: str) -> frozenset[int]:
    """Parses '0-3,8', as the kernel writes it. Raises SourceError."""
    found: set[int] = set()
    try:
        for part in filter(None, text.strip().split(",")):
            first, _, last = part.partition("-")
            if int(last or first) > MOST_CPUS:
                raise ValueError(part)
            found.update(range(int(first), int(last or first) + 1))
    except ValueError:
        raise SourceError(f"not a list of CPUs: {text[:60]!r}") from None
    return frozenset(found)


def parse_pci_path(target: str) -> tuple[str, ...]:
    """Parses the link in /sys/bus/pci/devices: '../../../devices/pci0000:17/0000:17:01.0/0000:19:00.0'.

    Between the host bridge and the device only PCI addresses count. Returns () when there is no host bridge in it.
    """
    parts = target.split("/")
    roots = [at for at, part in enumerate(parts) if part.startswith("pci") and ":" in part]
    if not roots:
        return ()
    return (parts[roots[-1]], *(part for part in parts[roots[-1] + 1 :] if part.count(":") == 2))


def normal_address(address: str) -> str:
    """Converts an address of NVML, 00000000:17:00.0 and capitals, to the form of sysfs, 0000:17:00.0."""
    domain, _, rest = address.lower().partition(":")
    return f"{domain[-4:]}:{rest}" if len(domain) > 4 and not domain[:-4].strip("0") else f"{domain}:{rest}"


def choose_level(a: PciDevice, b: PciDevice, nodes: int) -> LinkLevel | None:
    """Returns how near two devices are, by the longest common part of their paths. `nodes`: how many the host has.

    Returns None when they are below different host bridges and the firmware does not report their NUMA nodes.
    """
    common = 0
    for one, other in zip(a.path, b.path, strict=False):
        if one != other:
            break
        common += 1
    if common == 0:
        return _by_node(a, b, nodes)
    if common == 1:
        return "PHB"
    below = max(len(a.path), len(b.path)) - common
    return "PIX" if below <= 2 else "PXB"  # 2: a port of the switch, and the device


def nearest_nics(gpu: PciDevice, host: HostTopology) -> dict[str, LinkLevel]:
    """Returns every network card whose place is known, with how near it is."""
    found = {nic.name: choose_level(gpu, nic.device, len(host.nodes)) for nic in host.nics}
    return {name: level for name, level in found.items() if level is not None}


def gpu_pairs(host: HostTopology) -> dict[tuple[str, str], LinkLevel]:
    """Returns the matrix, each pair once, by PCI address."""
    pairs = ((a, b) for at, a in enumerate(host.gpus) for b in host.gpus[at + 1 :])
    found = {(a.address, b.address): choose_level(a, b, len(host.nodes)) for a, b in pairs}
    return {pair: level for pair, level in found.items() if level is not None}


def nearest(levels: Iterable[LinkLevel]) -> LinkLevel | None:
    return min(levels, key=LEVELS.index, default=None)


def number_gpus(host: HostTopology, known: Mapping[str, str]) -> dict[str, str]:
    """Returns PCI address to gpu_id: the driver's number (`known`), else by the order of addresses, as in NVML.

    A GPU that a driver hides, as in a container with some of them, keeps its address: a number could be another one's.
    """
    return {gpu.address: known.get(gpu.address, gpu.address if known else str(at)) for at, gpu in enumerate(host.gpus)}


def _by_node(a: PciDevice, b: PciDevice, nodes: int) -> LinkLevel | None:
    if nodes == 1:
        return "NODE"
    if a.node is None or b.node is None:
        return None
    return "NODE" if a.node == b.node else "SYS"

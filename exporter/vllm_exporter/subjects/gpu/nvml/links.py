"""Finds which GPUs NVLink connects, and how near two are over PCIe.

Peer status says whether two GPUs reach each other by NVLink; the number of links follows from where each ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from vllm_exporter.clock import Clock
from vllm_exporter.facts.facts import GpuLink
from vllm_exporter.facts.values import LinkLevel
from vllm_exporter.metrics.family import Row
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.nvml.devices import Device, parse_pci_address
from vllm_exporter.subjects.gpu.nvml.fields import field_name, read_fields
from vllm_exporter.subjects.gpu.nvml.library import NOT_SUPPORTED, Library, Lost, text
from vllm_exporter.subjects.gpu.nvml.slow import LINK_COUNT, count_links

RENEW_SECONDS = 600.0
SWITCH_LINKS = 147  # field id: links that end at an NVSwitch
GPU, NPU, SWITCH = 0, 1, 2  # nvmlIntNvLinkDeviceType_t; 255: the driver does not know
BY_NVLINK = 2  # nvmlGpuP2PCapsIndex_t
STATUS_OK, STATUS_UNKNOWN = 0, 6  # nvmlGpuP2PStatus_t; between them are reasons why not
LEVELS: Mapping[int | None, LinkLevel] = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
# When one of these changes, links may have come or gone.
SIGNS = frozenset({names.GPU_NVLINK_LINKS.name, names.GPU_FABRIC_STATE.name})
QUIET = (NOT_SUPPORTED,)  # of one link or pair; the others may answer


@dataclass(frozen=True)
class Ends:
    """The other ends of those NVLinks of a GPU that are up."""

    address: str  # its own, as sysfs has it
    peers: Mapping[str, int]  # links by the address of the GPU at the other end
    switched: int = 0  # links to a switch
    unknown: int = 0  # links whose end the driver does not report


class LinkReader:
    """Reads anew every ten minutes, and when GPUs, the number of links that are up, or the fabric's state changed."""

    def __init__(self, library: Library, clock: Clock) -> None:
        self._library = library
        self._clock = clock
        self._links: tuple[GpuLink, ...] | None = None
        self._state: object = None
        self._at = 0.0  # monotonic seconds

    def read(self, devices: Sequence[Device], slow: Sequence[Row]) -> tuple[GpuLink, ...] | None:
        """Returns the links, the same object while nothing changes; None before the first success. Raises Gone."""
        now = self._clock.monotonic()
        signs = tuple((family.name, *labels, number) for (family, labels), number in slow if family.name in SIGNS)
        state = (tuple(device.uuid for device in devices), signs)
        if state == self._state and now - self._at < RENEW_SECONDS:
            return self._links
        try:
            found = read_links(self._library, devices)
        except Lost:
            return self._links  # the other readings find the lost GPU, and the next reading is without it
        self._state, self._at = state, now
        if found != self._links:
            self._links = found
        return self._links


def read_links(library: Library, devices: Sequence[Device]) -> tuple[GpuLink, ...]:
    """Returns the links between whole GPUs, each pair once. Raises Lost and Gone."""
    addresses = frozenset(device.card.pci_address for device in devices)
    if len(devices) < 2:
        return ()
    ends = {device.gpu_id: read_ends(library, device, addresses) for device in devices}
    return tuple(
        make_link(a.gpu_id, b.gpu_id, _reaches(library, a, b), count_between(ends[a.gpu_id], ends[b.gpu_id]), level)
        for a, b in combinations(devices, 2)
        for level in (_level(library, a, b),)
    )


def read_ends(library: Library, device: Device, addresses: frozenset[str]) -> Ends | None:
    """Returns None when the driver does not report the number of links. `addresses` are those of the GPUs here."""
    own = device.card.pci_address
    answers = read_fields(library, device.uuid, device.handle, [(LINK_COUNT, 0), (SWITCH_LINKS, 0)])
    count = answers.get((LINK_COUNT, 0))
    if count is None or count.value is None:
        has_none = library.refused(device.uuid, field_name((LINK_COUNT, 0)))  # it is not supported on this GPU
        return Ends(own, {}) if has_none else None
    links = range(count_links(answers))
    states = [library.ask(device.uuid, "nvmlDeviceGetNvLinkState", device.handle, link, quiet=QUIET) for link in links]
    if links and all(state is None for state in states):
        return None
    told = answers.get((SWITCH_LINKS, 0))
    up = [_end(library, device, link) for link, state in zip(links, states, strict=True) if state == 1]
    return sort_ends(own, up, addresses, None if told is None else told.value)


def sort_ends(own: str, ends: Sequence[tuple[int | None, str]], addresses: frozenset[str], told: float | None) -> Ends:
    """Sorts links. `ends`: type and PCI address at the other end of each. `told`: the reported number of switches."""
    peers = Counter(address for kind, address in ends if kind != SWITCH and address in addresses)
    switched = sum(kind == SWITCH for kind, _ in ends)
    unknown = sum(
        kind != SWITCH and address not in addresses and (kind not in (GPU, NPU) or not address)
        for kind, address in ends
    )
    more = min(unknown, max(0, int(told or 0) - switched))  # a driver that knows no types may know their number
    return Ends(own, peers, switched + more, unknown - more)


def count_between(a: Ends | None, b: Ends | None) -> int | None:
    """Returns the links between two GPUs; None: not reported. Through switches the GPU with fewer links decides."""
    if a is None or b is None:
        return None
    found = a.peers.get(b.address) or b.peers.get(a.address) or min(a.switched, b.switched)
    return found or (None if a.unknown or b.unknown else 0)


def make_link(gpu_id: str, peer: str, reaches: bool | None, count: int | None, level: LinkLevel | None) -> GpuLink:
    """Makes a link. `reaches`: the driver's answer whether NVLink connects them; None: the number of links decides."""
    if reaches is None:
        return GpuLink(gpu_id, peer, None if count is None else count > 0, count, level)
    return GpuLink(gpu_id, peer, reaches, (count or None) if reaches else 0, level)


def _end(library: Library, device: Device, link: int) -> tuple[int | None, str]:
    """Returns the type of the other end, and its PCI address, which is '' for a switch: nobody needs it."""
    kind = library.ask(device.uuid, "nvmlDeviceGetNvLinkRemoteDeviceType", device.handle, link, quiet=QUIET)
    if kind == SWITCH:
        return kind, ""
    pci = library.ask(device.uuid, "nvmlDeviceGetNvLinkRemotePciInfo", device.handle, link, quiet=QUIET)
    return kind, parse_pci_address(text(pci.busId)) if pci else ""


def _reaches(library: Library, a: Device, b: Device) -> bool | None:
    status = library.ask(a.uuid, "nvmlDeviceGetP2PStatus", a.handle, b.handle, BY_NVLINK, quiet=QUIET)
    return None if status in (None, STATUS_UNKNOWN) else status == STATUS_OK


def _level(library: Library, a: Device, b: Device) -> LinkLevel | None:
    return LEVELS.get(library.ask(a.uuid, "nvmlDeviceGetTopologyCommonAncestor", a.handle, b.handle, quiet=QUIET))

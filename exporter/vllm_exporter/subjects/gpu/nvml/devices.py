"""Finds the GPUs and their MIG instances."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vllm_exporter.subjects.gpu.nvml.library import (
    INVALID_ARGUMENT,
    NO_PERMISSION,
    NOT_FOUND,
    Gone,
    Library,
    Lost,
    text,
)
from vllm_exporter.subjects.gpu.source import Card

COUNT = "nvmlDeviceGetCount"
HANDLE = "nvmlDeviceGetHandleByIndex"


@dataclass(frozen=True)
class Device:
    """A GPU, or a MIG instance, which is read like a GPU of its own."""

    card: Card
    handle: Any  # a pointer of ctypes
    parent: Any = None  # of a MIG instance: its GPU's handle
    instance: int = -1  # of a MIG instance: the id of its GPU instance
    split: bool = False  # into MIG instances, which report memory and activity in its place

    @property
    def uuid(self) -> str:
        """Identifies a device, even if the driver does not report a UUID."""
        return self.card.uuid or f"gpu {self.card.gpu_id}"

    @property
    def gpu_id(self) -> str:
        return self.card.gpu_id


def find_devices(library: Library) -> tuple[list[Device], list[Card]]:
    """Returns the devices that answer, and the cards that are lost: counted, but without a handle. Raises Gone."""
    devices: list[Device] = []
    lost: list[Card] = []
    count = library.ask("", COUNT)
    if count is None:
        raise Gone(f"{COUNT} failed: the driver does not say which GPUs there are")
    for index in range(count):
        try:
            devices += _find(library, index)
        except Lost:
            lost.append(Card(str(index), "", "", "", lost=True))
    return devices, lost


def find_again(library: Library, devices: Sequence[Device]) -> Iterator[Device]:
    """Yields these GPUs and their present MIG instances, which come and go. Raises Lost and Gone."""
    for device in devices:
        if device.parent is None:
            yield device
            yield from _instances(library, device)


def _find(library: Library, index: int) -> Iterator[Device]:
    whom = f"index {index}"  # refusals count per GPU
    handle = library.ask(whom, HANDLE, index)
    if handle is None:
        if library.refusal(whom, HANDLE) == NO_PERMISSION:
            return  # a container may not use each GPU that is counted
        raise Lost(f"{HANDLE}: GPU {index} is counted, but gives no handle")
    pci = library.ask(whom, "nvmlDeviceGetPciInfo_v3", handle)
    card = Card(
        gpu_id=str(index),
        uuid=text(library.ask(whom, "nvmlDeviceGetUUID", handle)),
        name=text(library.ask(whom, "nvmlDeviceGetName", handle)),
        pci_address=parse_pci_address(text(pci.busId)) if pci else "",
    )
    instances = list(_instances(library, Device(card, handle)))
    yield Device(card, handle, split=bool(instances))
    yield from instances


def _instances(library: Library, gpu: Device) -> Iterator[Device]:
    """Finds MIG instances by walking device handles: the lists of instances are for root only."""
    mode = library.ask(gpu.uuid, "nvmlDeviceGetMigMode", gpu.handle)
    if not mode or not mode[0]:
        return
    for index in range(library.ask(gpu.uuid, "nvmlDeviceGetMaxMigDeviceCount", gpu.handle) or 0):
        none = (NOT_FOUND, INVALID_ARGUMENT)  # an instance that was not made
        handle = library.ask(gpu.uuid, "nvmlDeviceGetMigDeviceHandleByIndex", gpu.handle, index, quiet=none)
        if handle is None:
            continue
        uuid = text(library.ask(gpu.uuid, "nvmlDeviceGetUUID", handle))
        name = text(library.ask(gpu.uuid, "nvmlDeviceGetName", handle))
        instance = library.ask(uuid, "nvmlDeviceGetGpuInstanceId", handle)
        card = Card(f"{gpu.gpu_id}:{index}", uuid, name, gpu.card.pci_address)
        yield Device(card, handle, gpu.handle, -1 if instance is None else instance)


def address_of(handle: Any) -> int:
    """Returns what identifies a handle: an event has another pointer object to the same place."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def parse_pci_address(bus_id: str) -> str:
    """Converts to the form of sysfs: NVML writes the domain with eight digits and in upper case."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:]}:{rest}" if rest else bus_id.lower()

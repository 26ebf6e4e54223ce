"""Holds everything that exists while the library is open: the GPUs, their readers and the thread for XIDs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import GpuLink
from vllm_exporter.metrics.family import Row, Sample
from vllm_exporter.subjects.gpu.nvml.devices import HANDLE, Device, address_of, find_again, find_devices
from vllm_exporter.subjects.gpu.nvml.events import WAIT, XidWatch
from vllm_exporter.subjects.gpu.nvml.fast import FastReader, Meters, ReadHostMemory, no_host_memory
from vllm_exporter.subjects.gpu.nvml.gpm import GpmProbe, free_probes, make_probes
from vllm_exporter.subjects.gpu.nvml.library import Gone, Library, Lost
from vllm_exporter.subjects.gpu.nvml.links import LinkReader
from vllm_exporter.subjects.gpu.nvml.processes import ProcessReader
from vllm_exporter.subjects.gpu.nvml.slow import LinkErrors, read_slow
from vllm_exporter.subjects.gpu.nvml.static import read_static
from vllm_exporter.subjects.gpu.source import CallFailures, Card, GpuProcess
from vllm_exporter.subjects.gpu.xids import XidLedger

# Calls of which every GPU that is well answers one.
STATE = (
    "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetMemoryInfo",
)
RETIRED_MAX = 2  # replaced threads that still wait for XIDs: one, unless the driver hangs

T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """The inputs of a session; the ledger and the meters outlive it."""

    clock: Clock
    failures: CallFailures
    ledger: XidLedger
    meters: Meters
    path: str  # of the library, or its name
    gpm: bool = True
    event_wait: float = WAIT  # seconds
    host_memory: ReadHostMemory = no_host_memory  # of GPUs without memory of their own


class Session:
    """The open library, for one thread. A lost GPU is left out until it answers; only trouble of all raises Gone."""

    def __init__(self, setup: Setup) -> None:
        """Raises NoData when there is no library, driver or GPU, Gone or Lost when the driver fails."""
        self._setup = setup
        self._fast: FastReader
        self._cards: tuple[Card, ...] = ()
        self._cards_of = -1  # lost GPUs that `_cards` was made with
        self._processes = ProcessReader()
        self._link_errors: LinkErrors = {}
        self._probes: list[GpmProbe] = []
        self._watch: XidWatch | None = None
        self._retired: list[XidWatch] = []
        self._library = Library(setup.path, setup.failures)
        self._links = LinkReader(self._library, setup.clock)
        with ExitStack() as undo:
            undo.callback(self._library.close)
            undo.callback(self._free_probes)
            self._assemble()
            if not self._devices and not self._lost:
                raise NoData("the NVIDIA driver is loaded, but has no GPU that this process may use")
            undo.pop_all()

    @property
    def cards(self) -> tuple[Card, ...]:
        """Returns all GPUs and MIG instances, the same object while nothing changes; no uuid: it never answered."""
        if self._cards_of != len(self._lost):  # GPUs are only added to it, until all is assembled anew
            present = [replace(device.card, lost=self._is_lost(device)) for device in self._devices]
            found = {card.gpu_id for card in present}
            self._cards = (*present, *(card for card in self._lost.values() if card.gpu_id not in found))
            self._cards_of = len(self._lost)
        return self._cards

    def read_fast(self) -> list[Row]:
        """Makes the readings of every run. Raises Gone, also when no GPU is left."""
        rows = self._fast.read()
        self._note(self._fast.lost)
        if self._lost and all(self._is_lost(device) for device in self._devices):
            raise Gone("all GPUs are lost")
        return rows

    def read_slow(self) -> tuple[list[Sample], tuple[GpuProcess, ...]]:
        """Makes the readings of every ten seconds. Raises Gone."""
        alive = {device.gpu_id for device in self._alive()}
        samples = [sample for sample in self._static if sample.values[0] in alive]
        processes: list[GpuProcess] = []
        for device in self._alive():
            if device.parent is None:
                samples += self._guarded(device, self._read_slow) or []
            processes += self._guarded(device, self._read_processes) or []
        return samples, tuple(processes)

    def read_links(self, slow: Sequence[Row]) -> tuple[GpuLink, ...] | None:
        """Returns the links between whole GPUs; `slow` are the values just read. Raises Gone."""
        return self._links.read([device for device in self._alive() if device.parent is None], slow)

    def renew(self) -> None:
        """Renews parts that changed: MIG instances come and go, lost GPUs answer again, failures pass. Raises Gone."""
        if self._has_changed():
            self._free_probes()
            self._library.forget_refusals()  # a GPU that is split or back may answer other calls
            self._assemble()
        elif self._fast.incomplete:
            self._fast.retry()

    def close(self, wait: float) -> bool:
        """Closes the library. Returns False if after `wait` seconds a thread is still in it: call it again."""
        self._free_probes()
        watches = [*self._retired, *([] if self._watch is None else [self._watch])]
        for watch in watches:
            watch.stop()
        if not all(watch.ended(wait / len(watches)) for watch in watches):
            return False
        self._library.close()
        return True

    def _assemble(self) -> None:
        """Makes everything anew but the library. Counts read before may be from before a reset."""
        for meter in self._setup.meters.values():
            meter.pause()
        devices, lost = find_devices(self._library)
        self._devices: Sequence[Device] = devices
        self._lost = {card.gpu_id: card for card in lost}
        self._cards_of = -1
        self._static: list[Sample] = []
        for device in devices:
            self._static += self._guarded(device, self._read_static) or []
        if self._setup.gpm:
            for device in self._alive():
                self._probes += self._guarded(device, self._make_probes) or []
        self._fast = self._make_fast()
        self._replace_watch()

    def _replace_watch(self) -> None:
        """Replaces the thread for XIDs without waiting: the one before ends by itself."""
        self._retired = [watch for watch in self._retired if not watch.ended()]
        if len(self._retired) == RETIRED_MAX:
            return
        if self._watch is not None:
            self._watch.stop(replaced=True)
            self._retired.append(self._watch)
            self._watch = None
        self._watch = XidWatch(self._library, self._alive(), self._setup.ledger, self._setup.event_wait)

    def _free_probes(self) -> None:
        free_probes(self._library, self._probes)
        self._probes = []

    def _make_fast(self) -> FastReader:
        probes = [probe for probe in self._probes if not self._is_lost(probe.device)]
        setup = self._setup
        return FastReader(self._library, self._alive(), probes, setup.meters, setup.clock, setup.host_memory)

    def _has_changed(self) -> bool:
        if any(self._answers(card.gpu_id) for card in self._lost.values()):
            return True
        known = self._alive()
        try:
            found = list(find_again(self._library, known))
        except Lost:
            return False  # the next reading finds out which
        if [one.uuid for one in found] != [one.uuid for one in known]:
            return True
        # An instance made anew in the place of one like it has the same uuid, and perhaps another handle.
        return self._fast.incomplete and [address_of(one.handle) for one in found] != [
            address_of(one.handle) for one in known
        ]

    def _answers(self, gpu_id: str) -> bool:
        """True if a lost GPU is there again: the library may remember its names, but not its state."""
        if not gpu_id.isdigit():
            return False  # a MIG instance comes back with its GPU
        whom = f"index {gpu_id}"
        try:
            handle = self._library.ask(whom, HANDLE, int(gpu_id))
            if handle is None:
                return False
            if any(self._library.ask(whom, name, handle) is not None for name in STATE):
                return True
            return all(self._library.refused(whom, name) for name in STATE)  # it has none of them, and says so
        except Lost:
            return False

    def _alive(self) -> list[Device]:
        return [device for device in self._devices if not self._is_lost(device)]

    def _is_lost(self, device: Device) -> bool:
        return device.gpu_id in self._lost or device.gpu_id.partition(":")[0] in self._lost

    def _note(self, lost: Iterable[str]) -> None:
        for device in self._devices:
            if device.gpu_id in lost:
                self._lost.setdefault(device.gpu_id, replace(device.card, lost=True))

    def _guarded(self, device: Device, read: Callable[[Device], T]) -> T | None:
        try:
            return read(device)
        except Lost:
            self._note([device.gpu_id])
            return None

    def _read_static(self, device: Device) -> list[Sample]:
        return list(read_static(self._library, device))

    def _read_slow(self, device: Device) -> list[Sample]:
        return list(read_slow(self._library, device, self._link_errors))

    def _read_processes(self, device: Device) -> list[GpuProcess]:
        return self._processes.read(self._library, device)

    def _make_probes(self, device: Device) -> list[GpmProbe]:
        return list(make_probes(self._library, [device]))

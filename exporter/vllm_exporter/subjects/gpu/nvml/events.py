"""Waits, in one thread, for the driver's events: XID errors as they happen."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from vllm_exporter.subjects.gpu.nvml.devices import Device, address_of
from vllm_exporter.subjects.gpu.nvml.library import TIMEOUT, Library, Lost
from vllm_exporter.subjects.gpu.xids import XidLedger

XID = 0x8  # nvmlEventTypeXidCriticalError
# Seconds a wait lasts at most. Nothing in NVML ends one early, so closing the library may take as long; each wait that
# ends without an event is a wake-up of 0.2 ms.
WAIT = 8.0
BACKOFF = 5.0  # seconds after a wait that failed: a lost GPU may make each fail at once


class XidWatch:
    """One daemon thread for the GPUs of an open library. The wait releases Python's lock, and an event ends it."""

    def __init__(self, library: Library, devices: Sequence[Device], ledger: XidLedger, wait: float = WAIT) -> None:
        """Registers for events. Raises Gone."""
        self._library = library
        self._ledger = ledger
        self._wait = wait
        self._stop = threading.Event()
        self._replaced = False
        self._set: Any = None
        self._devices = {address_of(device.handle): device.gpu_id for device in devices if device.parent is None}
        self._thread: threading.Thread | None = None
        if self._register([device for device in devices if device.parent is None]):
            self._thread = threading.Thread(target=self._run, name="gpu-xids", daemon=True)
            self._thread.start()

    def stop(self, replaced: bool = False) -> None:
        """Makes the thread end with its wait. `replaced`: another watch reports the events that it still gets."""
        self._replaced |= replaced
        self._stop.set()

    def ended(self, wait: float = 0.0) -> bool:
        """Returns False if the thread is still in the library after `wait` seconds: it must then not be closed."""
        if self._thread is not None:
            self._thread.join(wait)
            if self._thread.is_alive():
                return False
        free = self._library.function("nvmlEventSetFree")
        if self._set is not None and free is not None:
            free(self._set)
            self._set = None
        return True

    def _register(self, devices: Sequence[Device]) -> bool:
        self._set = self._library.ask("", "nvmlEventSetCreate") if devices else None
        if self._set is None:
            return False
        done = False
        for device in devices:
            try:
                supported = self._library.ask(device.uuid, "nvmlDeviceGetSupportedEventTypes", device.handle)
                if supported and supported & XID:
                    self._library.ask(device.uuid, "nvmlDeviceRegisterEvents", device.handle, XID, self._set)
                    done = True
            except Lost:
                continue
        return done

    def _run(self) -> None:
        """Waits for events. Errors are not counted: another thread does, and a wait without an event is one too."""
        pynvml = self._library.pynvml
        while not self._stop.is_set():
            try:
                event = pynvml.nvmlEventSetWait_v2(self._set, int(self._wait * 1000))
            except pynvml.NVMLError as error:
                if error.value != TIMEOUT:
                    self._stop.wait(BACKOFF)
                continue
            if event.eventType == XID and not self._replaced:
                self._ledger.saw("driver", self._devices.get(address_of(event.device), ""), int(event.eventData))

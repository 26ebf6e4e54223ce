"""The readings of every second, by the C functions themselves: pynvml's wrappers would take twice as long."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vllm_exporter.clock import Clock
from vllm_exporter.metrics.family import Row, Series
from vllm_exporter.subjects.gpu.nvml.calls import (
    CALLS,
    FIELDS,
    GPM,
    OF_GPU_ONLY,
    OF_INSTANCES,
    POWER_USAGE,
    THROTTLE_REASONS,
    Call,
    Output,
)
from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.fields import FUNCTION as FIELD_VALUES
from vllm_exporter.subjects.gpu.nvml.fields import field_name, read_fields
from vllm_exporter.subjects.gpu.nvml.gpm import GpmProbe, read_metrics
from vllm_exporter.subjects.gpu.nvml.library import FUNCTION_NOT_FOUND, Library, Lost
from vllm_exporter.subjects.gpu.nvml.meter import WrappingCounter

Meters = dict[tuple[str, str], WrappingCounter]  # by uuid and family


@dataclass
class DeviceReadings:
    """What is remembered of one device from one reading to the next."""

    device: Device
    probe: GpmProbe | None
    counts: dict[Series, float] = field(default_factory=dict)  # of counters that only a reset makes fall
    working: set[str] = field(default_factory=set)  # calls and fields that answered last time
    out: set[str] = field(default_factory=set)  # that failed, and are left out until they are tried again


class FastReader:
    """Made for a set of devices. What fails drops out, and has its next chance with `retry`."""

    def __init__(
        self, library: Library, devices: Sequence[Device], probes: Sequence[GpmProbe], meters: Meters, clock: Clock
    ) -> None:
        """`meters` are kept from one reader to the next."""
        self.lost: set[str] = set()  # gpu ids
        self._library = library
        self._meters = meters
        self._clock = clock
        by_id = {probe.device.gpu_id: probe for probe in probes}
        self._readings = [DeviceReadings(device, by_id.get(device.gpu_id)) for device in devices]

    @property
    def incomplete(self) -> bool:
        """True if something failed that may work another time."""
        return any(one.out for one in self._readings)

    def retry(self) -> None:
        for one in self._readings:
            one.out.clear()

    def read(self) -> list[Row]:
        """All values of now. Raises Gone."""
        rows: list[Row] = []
        for one in self._readings:
            if one.device.gpu_id not in self.lost:
                try:
                    rows += self._read(one)
                except Lost:
                    self.lost.add(one.device.gpu_id)
        return rows

    def _read(self, one: DeviceReadings) -> list[Row]:
        """Of two calls that give the same series the first that answers is taken."""
        found: dict[Series, tuple[Output, float]] = {}
        if one.device.parent is None:
            self._read_fields(one, found)
        left_out = OF_INSTANCES if one.device.split else OF_GPU_ONLY if one.device.parent is not None else ()
        for call in (*CALLS, POWER_USAGE):
            if call.function not in left_out and any(series_of(one, each) not in found for each in call.outputs):
                self._call(one, call, found)
        rows = list(self._metered(one, found))
        if one.probe is not None:
            rows += self._read_gpm(one, one.probe)
        return rows

    def _read_fields(self, one: DeviceReadings, found: dict[Series, tuple[Output, float]]) -> None:
        if FIELD_VALUES in one.out:
            return
        keys = {(each.id, each.scope): each.output for each in FIELDS}
        wanted = [key for key in keys if field_name(key) not in one.out]
        failed = self._library.failures.total
        answers = read_fields(self._library, one.device.uuid, one.device.handle, wanted)
        if wanted and not answers and self._library.failures.total > failed:
            self._fails(one, FIELD_VALUES)
        for key, answer in answers.items():
            if answer.value is None:
                self._fails(one, field_name(key))
            else:
                one.working.add(field_name(key))
                found.setdefault(series_of(one, keys[key]), (keys[key], answer.value))

    def _call(self, one: DeviceReadings, call: Call, found: dict[Series, tuple[Output, float]]) -> None:
        uuid, name = one.device.uuid, f"{call.function}{call.arguments}"
        if name in one.out or self._library.refused(uuid, call.function):
            return
        function = self._library.function(call.function)
        if function is None:
            self._library.failed(uuid, call.function, FUNCTION_NOT_FOUND)
            return
        memory = ctypes.create_string_buffer(call.preset, call.size)
        if code := function(one.device.handle, *call.arguments, memory):
            self._fails(one, name)
            self._library.failed(uuid, call.function, code)
            return
        one.working.add(name)
        for output, value in zip(call.outputs, struct.unpack(f"={call.format}", memory.raw), strict=True):
            found.setdefault(series_of(one, output), (output, value))

    def _read_gpm(self, one: DeviceReadings, probe: GpmProbe) -> Iterator[Row]:
        values = read_metrics(self._library, probe, self._clock.monotonic(), one.out)
        for metric, value in values.items():
            output = GPM[metric]
            yield series_of(one, output), value * output.multiply / output.divide

    def _fails(self, one: DeviceReadings, name: str) -> None:
        """Calls fail while a GPU is reset: one that answered before makes what fell meanwhile no wrap."""
        one.out.add(name)
        if name in one.working:
            one.working.discard(name)
            for (uuid, _), meter in self._meters.items():
                if uuid == one.device.uuid:
                    meter.pause()

    def _metered(self, one: DeviceReadings, found: dict[Series, tuple[Output, float]]) -> Iterator[Row]:
        """In the units of the families; a mask as a value for each of its bits."""
        counts = {
            series: value
            for series, (output, value) in found.items()
            if output.family.kind == "counter" and not output.wraps
        }
        restarted = any(value < one.counts.get(series, value) for series, value in counts.items())
        one.counts = counts
        for series, (output, value) in found.items():
            if output.mask:
                for reason, bit in THROTTLE_REASONS.items():
                    yield (output.family, (one.device.gpu_id, reason)), int(value) & bit != 0
            elif output.wraps:
                meter = self._meters.setdefault((one.device.uuid, output.family.name), WrappingCounter())
                yield series, meter.add(value, restarted)
            elif output.divide != 1:
                yield series, value / output.divide
            else:
                yield series, value * output.multiply


def series_of(one: DeviceReadings, output: Output) -> Series:
    label = (output.label,) if output.label else ()
    return output.family, (one.device.gpu_id, *label)

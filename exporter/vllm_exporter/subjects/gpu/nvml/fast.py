"""Makes the readings of every run with the C functions themselves: pynvml's wrappers would take twice as long."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from vllm_exporter.clock import Clock
from vllm_exporter.linux.meminfo import HostMemory
from vllm_exporter.metrics.family import Row, Series
from vllm_exporter.subjects.gpu import families as names
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
from vllm_exporter.subjects.gpu.nvml.fields import FieldKey, field_name, read_fields
from vllm_exporter.subjects.gpu.nvml.gpm import GpmProbe, read_metrics
from vllm_exporter.subjects.gpu.nvml.library import (
    FINAL,
    FUNCTION_NOT_FOUND,
    NOT_SUPPORTED,
    Function,
    Library,
    Lost,
)
from vllm_exporter.subjects.gpu.nvml.wrapping import WrappingCounter

ReadHostMemory = Callable[[], HostMemory | None]
Meters = dict[tuple[str, str], WrappingCounter]  # by uuid and family
Found = dict[Series, tuple[Output, float]]  # in the driver's units

OUTPUTS: dict[FieldKey, Output] = {(one.id, one.scope): one.output for one in FIELDS}


def no_host_memory() -> HostMemory | None:
    """Returns None: where the host's memory is not read."""
    return None


@dataclass
class PreparedCall:
    """A function that the library has, with the memory that it fills."""

    name: str  # distinguishes calls of one function
    call: Call
    function: Function
    series: tuple[Series, ...]  # of its outputs
    memory: Any = field(init=False)
    layout: struct.Struct = field(init=False)
    outputs: tuple[tuple[Series, Output, float], ...] = field(init=False)  # with the largest value that can be
    whole: bool = field(init=False)

    def __post_init__(self) -> None:
        self.memory = ctypes.create_string_buffer(self.call.preset, self.call.size)
        self.layout = struct.Struct(f"={self.call.format}")
        self.outputs = tuple(zip(self.series, self.call.outputs, self.call.most, strict=True))
        self.whole = self.call.whole


class FastReader:
    """Reads a set of devices. A call that fails is left out until `retry`."""

    def __init__(
        self,
        library: Library,
        devices: Sequence[Device],
        probes: Sequence[GpmProbe],
        meters: Meters,
        clock: Clock,
        host_memory: ReadHostMemory = no_host_memory,
    ) -> None:
        """`meters` are kept from one reader to the next; `host_memory` is read for GPUs that have none of their own."""
        self.lost: set[str] = set()  # gpu ids
        by_id = {probe.device.gpu_id: probe for probe in probes}
        self._readers = [
            DeviceReader(library, device, by_id.get(device.gpu_id), meters, clock, host_memory) for device in devices
        ]

    @property
    def incomplete(self) -> bool:
        """True if something failed that may work another time."""
        return any(one.out for one in self._readers)

    def retry(self) -> None:
        for one in self._readers:
            one.retry()

    def read(self) -> list[Row]:
        """Returns all present values. Raises Gone."""
        rows: list[Row] = []
        for one in self._readers:
            if one.device.gpu_id not in self.lost:
                try:
                    rows += one.read()
                except Lost:
                    self.lost.add(one.device.gpu_id)
                if one.silent:
                    self.lost.add(one.device.gpu_id)
        return rows


class DeviceReader:
    """Reads one GPU or MIG instance."""

    def __init__(
        self,
        library: Library,
        device: Device,
        probe: GpmProbe | None,
        meters: Meters,
        clock: Clock,
        host_memory: ReadHostMemory,
    ) -> None:
        self.device = device
        self.silent = False  # True if it answers no call at all, by whatever code, though it should
        self._failing = False  # True if one failed that the driver has not refused for good
        self._no_memory = False  # True if it says that it has 0 bytes
        self._host_memory = host_memory
        self.out: set[str] = set()  # calls and fields that failed, and are left out until they are tried again
        self._library = library
        self._probe = probe
        self._meters = meters
        self._clock = clock
        self._counts: dict[Series, float] = {}  # of counters that only a reset makes fall
        self._working: set[str] = set()  # calls and fields that answered last time
        self._total = names.GPU_MEMORY_TOTAL_BYTES, (device.gpu_id,)
        self._series = {output: self._name(output) for output in (*OUTPUTS.values(), *GPM.values())}
        left_out = OF_INSTANCES if device.split else OF_GPU_ONLY if device.parent is not None else ()
        prepared = (self._prepare(call) for call in (*CALLS, POWER_USAGE) if call.function not in left_out)
        self._every = [one for one in prepared if one is not None]
        self.retry()

    def retry(self) -> None:
        """Takes back all calls and fields that the driver has not refused for good."""
        refused = self._library.refused
        self.out.clear()
        self._failing = self._no_memory = False
        self._calls = [one for one in self._every if not refused(self.device.uuid, one.call.function)]
        self._keys = list(OUTPUTS) if self.device.parent is None else []

    def read(self) -> list[Row]:
        """Returns the values; of two calls for the same series the first that answers counts. Raises Lost and Gone."""
        found: Found = {}
        if self._keys:
            self._read_fields(found)
        for one in tuple(self._calls):
            if not all(series in found for series in one.series):
                self._call(one, found)
        rows = list(self._metered(found))
        self.silent = not rows and self._failing and self.device.parent is None
        if self._total not in found and self._shares_memory():
            rows += self._read_host_memory()
        if self._probe is not None:
            rows += self._read_gpm(self._probe)
        return rows

    def _name(self, output: Output) -> Series:
        label = (output.label,) if output.label else ()
        return output.family, (self.device.gpu_id, *label)

    def _prepare(self, call: Call) -> PreparedCall | None:
        function = self._library.function(call.function)
        if function is None:
            self._library.failed(self.device.uuid, call.function, FUNCTION_NOT_FOUND)
            return None
        series = tuple(self._name(output) for output in call.outputs)
        return PreparedCall(f"{call.function}{call.arguments}", call, function, series)

    def _read_fields(self, found: Found) -> None:
        failed = self._library.failures.total
        answers = read_fields(self._library, self.device.uuid, self.device.handle, self._keys)
        if not answers and self._library.failures.total > failed:
            self._keys = []
            self._fails(FIELD_VALUES, self._library.refusal(self.device.uuid, FIELD_VALUES))
        for key, answer in answers.items():
            code, _, value, _ = answer
            if value is not None:
                self._working.add(field_name(key))
                output = OUTPUTS[key]
                if value <= output.most and (value >= 0 or output.family.kind != "counter"):
                    found.setdefault(self._series[output], (output, value))
            elif code:
                self._keys.remove(key)
                self._fails(field_name(key), code)

    def _call(self, one: PreparedCall, found: Found) -> None:
        if code := one.function(self.device.handle, *one.call.arguments, one.memory):
            self._calls.remove(one)
            self._fails(one.name, code)
            self._library.failed(self.device.uuid, one.call.function, code)
            return
        self._working.add(one.name)
        values = one.layout.unpack(one.memory)
        if one.whole and not values[0]:
            self._no_memory = True
            return
        total = values[0] if one.whole else inf  # of which the others are parts: a difference may have wrapped
        for (series, output, most), value in zip(one.outputs, values, strict=True):
            if output.least <= value <= most and value <= total:
                found.setdefault(series, (output, value))

    def _read_gpm(self, probe: GpmProbe) -> Iterator[Row]:
        values = read_metrics(self._library, probe, self._clock.monotonic(), self.out)
        for metric, value in values.items():
            output = GPM[metric]
            if 0 <= value <= output.most:
                yield self._series[output], value * output.multiply / output.divide

    def _shares_memory(self) -> bool:
        """True if the GPU has no memory of its own: both calls are not supported, or say 0 bytes."""
        if self.device.parent is not None or self.device.split:
            return False
        refusal = self._library.refusal(self.device.uuid, "nvmlDeviceGetMemoryInfo")
        return self._no_memory or refusal == NOT_SUPPORTED

    def _read_host_memory(self) -> Iterator[Row]:
        """Yields the memory that such a GPU shares with the host, which only the host can tell."""
        ids, host = (self.device.gpu_id,), self._host_memory()
        yield (names.GPU_MEMORY_UNIFIED, ids), 1
        if host is not None:
            yield (names.GPU_MEMORY_TOTAL_BYTES, ids), host.total
            yield (names.GPU_MEMORY_USED_BYTES, ids), host.used

    def _fails(self, name: str, code: int) -> None:
        """Leaves a call out. If it answered before, the GPU may be in a reset: a counter that falls has not wrapped."""
        self.out.add(name)
        self._failing = self._failing or code not in FINAL
        if name in self._working:
            self._working.discard(name)
            for (uuid, _), meter in self._meters.items():
                if uuid == self.device.uuid:
                    meter.pause()

    def _metered(self, found: Found) -> Iterator[Row]:
        """Yields values in the units of the families; a mask as a value for each of its bits."""
        counts = {
            series: value
            for series, (output, value) in found.items()
            if output.family.kind == "counter" and not output.wraps
        }
        restarted = any(value < self._counts.get(series, value) for series, value in counts.items())
        self._counts = counts
        for series, (output, value) in found.items():
            if output.mask:
                for reason, bit in THROTTLE_REASONS.items():
                    yield (output.family, (self.device.gpu_id, reason)), int(value) & bit != 0
            elif output.wraps:
                meter = self._meters.setdefault((self.device.uuid, output.family.name), WrappingCounter())
                yield series, meter.add(value, restarted)
            elif output.divide != 1:
                yield series, value / output.divide
            else:
                yield series, value * output.multiply

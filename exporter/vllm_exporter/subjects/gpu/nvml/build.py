"""Tries what is to be read every second, GPU by GPU, and lays out the memory for what works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from vllm_exporter.subjects.gpu.nvml import fields as field_values
from vllm_exporter.subjects.gpu.nvml import gpm
from vllm_exporter.subjects.gpu.nvml.calls import (
    CALLS,
    FIELDS,
    GPM,
    OF_GPU_ONLY,
    OF_INSTANCES,
    POWER_USAGE,
    Call,
    Field,
    Output,
)
from vllm_exporter.subjects.gpu.nvml.devices import Device
from vllm_exporter.subjects.gpu.nvml.fields import FORMATS, field_name, read_fields
from vllm_exporter.subjects.gpu.nvml.gpm import GpmProbe, metric_name, place_metrics, wanted_metrics
from vllm_exporter.subjects.gpu.nvml.library import FUNCTION_NOT_FOUND, Library, Lost
from vllm_exporter.subjects.gpu.nvml.memory import Memory
from vllm_exporter.subjects.gpu.nvml.plan import Cell, Meter

SPACE = 64 * (len(CALLS) + 1) + field_values.SIZE * len(FIELDS)  # bytes of a device; no struct of CALLS is above 64

Meters = dict[tuple[str, str], Meter]  # by uuid and family


@dataclass(frozen=True, eq=False)
class Piece:
    """A call, or one number of a batch, which has a code of its own."""

    device: Device
    function: str  # for error counters
    group: str  # what falls with the call when it fails
    cells: tuple[Cell, ...] = ()
    call: Callable[[], int] | None = None
    turn: int = -1  # of GPM: in which turn the call is made
    code_at: int = -1  # of a number of a batch: where its code is

    def pause(self) -> None:
        """See `Meter.pause`."""
        for cell in self.cells:
            if cell.meter is not None:
                cell.meter.pause()


class Builder:
    """Made, used by `build`, and read: `pieces`, the memories, who is `lost`, and whether it is worth trying again."""

    def __init__(self, library: Library, devices: Sequence[Device], probes: Sequence[GpmProbe], meters: Meters) -> None:
        self._library = library
        self._meters = meters
        self._served: set[tuple[str, str, str]] = set()  # gpu id, family and label
        self.pieces: list[Piece] = []
        self.lost: set[str] = set()  # gpu ids
        self.incomplete = False  # something failed that may work another time
        self.memory = Memory(SPACE * max(1, len(devices)))
        self.gpm_memories = tuple(Memory(gpm.SIZE * max(1, len(probes))) for _ in range(2))
        self._build(devices, probes)

    def _build(self, devices: Sequence[Device], probes: Sequence[GpmProbe]) -> None:
        for device in devices:
            self._guard(device, partial(self._add_device, device))
        self.memory.seal()
        for probe in probes:
            if probe.device.gpu_id not in self.lost:
                self._guard(probe.device, partial(self._add_gpm, probe))
        for memory in self.gpm_memories:
            memory.seal()
        self.pieces = [piece for piece in self.pieces if piece.device.gpu_id not in self.lost]

    def _guard(self, device: Device, add: Callable[[], None]) -> None:
        try:
            add()
        except Lost:
            self.lost.add(device.gpu_id)

    def _add_device(self, device: Device) -> None:
        if device.parent is None:
            self._add_batch(device)
        left_out = OF_INSTANCES if device.split else OF_GPU_ONLY if device.parent is not None else frozenset()
        for call in (*CALLS, POWER_USAGE):
            if call.function not in left_out:
                self._add_call(device, call)

    def _add_call(self, device: Device, call: Call) -> None:
        if any(self._is_served(device, one) for one in call.outputs) or self._refused(device, call.function):
            return
        function = self._library.function(call.function)
        if function is None:
            self._library.failed(device.uuid, call.function, FUNCTION_NOT_FOUND)
            return
        offset = self.memory.place(call.size, call.preset)
        run = partial(function, device.handle, *call.arguments, self.memory.pointer(offset))
        if code := run():
            self._library.failed(device.uuid, call.function, code)
            self.incomplete |= not self._refused(device, call.function)
            return
        first = self.memory.read(offset, call.format)
        cells = tuple(self._cell(device, output, first + at) for at, output in enumerate(call.outputs))
        self.pieces.append(Piece(device, call.function, f"{call.function}{call.arguments}", cells, run))

    def _add_batch(self, device: Device) -> None:
        function = self._library.function(field_values.FUNCTION)
        chosen = self._answered(device)
        if function is None or not chosen:
            return
        offset = self.memory.place(
            field_values.SIZE * len(chosen), field_values.preset([(one.id, one.scope) for one, _ in chosen])
        )
        run = partial(function, device.handle, len(chosen), self.memory.pointer(offset))
        self.pieces.append(Piece(device, field_values.FUNCTION, "fields", (), run))
        for at, (one, layout) in enumerate(chosen):
            first = self.memory.read(offset + at * field_values.SIZE, f"28xi{layout}")
            cells = (self._cell(device, one.output, first + 1),)
            self.pieces.append(Piece(device, field_name((one.id, one.scope)), "fields", cells, code_at=first))

    def _answered(self, device: Device) -> list[tuple[Field, str]]:
        """The fields that have a value, with the format of its type."""
        answers = read_fields(self._library, device.uuid, device.handle, [(one.id, one.scope) for one in FIELDS])
        chosen: list[tuple[Field, str]] = []
        for one in FIELDS:
            answer = answers.get((one.id, one.scope))
            if answer is None or self._is_served(device, one.output):
                continue
            if answer.value is not None:
                chosen.append((one, FORMATS[answer.type]))
                self._served.add(self._key(device, one.output))
            else:
                self.incomplete |= not self._refused(device, field_name((one.id, one.scope)))
        return chosen

    def _add_gpm(self, probe: GpmProbe) -> None:
        """Takes the first sample, too."""
        device = probe.device
        metrics = wanted_metrics(self._library, device.uuid)
        function, sampler = self._library.function(gpm.FUNCTION), self._library.function(probe.sampler)
        refused = self._refused(device, gpm.FUNCTION) or self._refused(device, probe.sampler)
        if function is None or sampler is None or not metrics or refused:
            return
        if code := probe.take(sampler, 0)():
            self._library.failed(device.uuid, probe.sampler, code)
            self.incomplete |= not self._refused(device, probe.sampler)
            return
        first = 0
        for turn, memory in enumerate(self.gpm_memories):
            offset, first = place_metrics(memory, probe, turn, metrics)
            run = partial(function, memory.pointer(offset))
            self.pieces.append(Piece(device, probe.sampler, gpm.GROUP, call=probe.take(sampler, turn), turn=turn))
            self.pieces.append(Piece(device, gpm.FUNCTION, gpm.GROUP, call=run, turn=turn))
        first += self.memory.count  # GPM's numbers come after all others
        for at, metric in enumerate(metrics):
            cells = (self._cell(device, GPM[metric], first + 2 * at + 1),)
            self.pieces.append(Piece(device, metric_name(metric), gpm.GROUP, cells, code_at=first + 2 * at))

    def _cell(self, device: Device, output: Output, at: int) -> Cell:
        self._served.add(self._key(device, output))
        meter = self._meters.setdefault((device.uuid, output.family.name), Meter()) if output.wraps else None
        return Cell(device.gpu_id, output, at, meter)

    def _is_served(self, device: Device, output: Output) -> bool:
        return self._key(device, output) in self._served

    def _refused(self, device: Device, function: str) -> bool:
        return self._library.refused(device.uuid, function)

    @staticmethod
    def _key(device: Device, output: Output) -> tuple[str, str, str]:
        return device.gpu_id, output.family.name, output.label

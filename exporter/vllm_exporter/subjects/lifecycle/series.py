"""The samples of all servers, laid out anew only when a pair, a phase or a server comes or goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from vllm_exporter.metrics.family import Block, Layout, Series
from vllm_exporter.subjects.lifecycle import families as names
from vllm_exporter.subjects.lifecycle.machine import Machine
from vllm_exporter.subjects.lifecycle.states import NAMES, ORDER

Shape = tuple[object, ...]


class Table:
    """Keeps between two looks what did not change: all but the time in the state, most of the time."""

    def __init__(self) -> None:
        self._shape: Shape = ()
        self._layout = Layout(())
        self._seconds = Layout(())
        self._versions: tuple[object, ...] = ()
        self._kept = self._layout.block([])

    def blocks(self, machines: Mapping[str, Machine], now: float, offset: float) -> tuple[Block, Block]:
        """`offset` is Unix time minus monotonic time."""
        versions = tuple([(server, machine.history.version) for server, machine in machines.items()])
        if versions != self._versions:
            self._versions = versions
            self._kept = self._block(machines, offset)
        seconds = [max(0.0, now - machine.history.since) for machine in machines.values()]
        return self._kept, self._seconds.block(seconds)

    def _block(self, machines: Mapping[str, Machine], offset: float) -> Block:
        shape = tuple(_shape(server, machine) for server, machine in machines.items())
        if shape != self._shape:
            self._layout = Layout(one for server, machine in machines.items() for one in _series(server, machine))
            self._seconds = Layout((names.LIFECYCLE_STATE_SECONDS, (server,)) for server in machines)
            self._shape = shape
        numbers: list[float] = []
        for machine in machines.values():
            _add_numbers(numbers, machine, offset)
        return self._layout.block(numbers)


def _shape(server: str, machine: Machine) -> Shape:
    """Pairs are only ever added, so that their number tells whether one is new."""
    ended = machine.last_exit
    how = None if ended is None else (ended.role, ended.cause, ended.code)
    return (
        server,
        len(machine.history.transitions),
        len(machine.history.illegal),
        tuple(machine.history.phases.seconds),
        how,
    )


def _series(server: str, machine: Machine) -> list[Series]:
    ended = machine.last_exit
    return [
        *((names.LIFECYCLE_STATE, (server, state)) for state in NAMES),
        (names.LIFECYCLE_FAILED_STARTS, (server,)),
        *((names.LIFECYCLE_TRANSITIONS_TOTAL, (server, *pair)) for pair in machine.history.transitions),
        *((names.LIFECYCLE_ILLEGAL_TRANSITIONS_TOTAL, (server, *pair)) for pair in machine.history.illegal),
        *((names.LIFECYCLE_PHASE_SECONDS, (server, phase)) for phase in machine.history.phases.seconds),
        *(
            [(names.LIFECYCLE_LAST_EXIT_TIMESTAMP_SECONDS, (server, ended.role, ended.cause, ended.code))]
            if ended is not None
            else []
        ),
    ]


def _add_numbers(numbers: list[float], machine: Machine, offset: float) -> None:
    """In the order of `_series`."""
    first = len(numbers)
    numbers.extend([0] * len(NAMES))
    numbers[first + ORDER[machine.state]] = 1
    numbers.append(machine.failures.starts)
    numbers.extend(machine.history.transitions.values())
    numbers.extend(machine.history.illegal.values())
    numbers.extend(machine.history.phases.seconds.values())
    if machine.last_exit is not None:
        numbers.append(machine.last_exit.at + offset)

"""Explains why a process ended, by its wait status. Pure.

An exit code says little about vLLM itself: a fatal death of its engine ends the API server with code 0.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from vllm_exporter.facts.values import ExitCause

UNKNOWN_SIGNAL = 0x7F  # stands for "killed by some signal, unknown which"; no signal has this number
SHELL = 128  # a shell, and a container engine, report the signal n as the exit code 128 + n
_BY_SIGNAL: dict[int, ExitCause] = {
    signal.SIGTERM: "sigterm",
    signal.SIGKILL: "sigkill",
    **dict.fromkeys(
        (
            signal.SIGSEGV,
            signal.SIGABRT,
            signal.SIGBUS,
            signal.SIGILL,
            signal.SIGFPE,
            signal.SIGTRAP,
            signal.SIGSYS,
        ),
        "crash",
    ),
}


@dataclass(frozen=True)
class ExitCode:
    """The end of a process."""

    cause: ExitCause
    code: int | None  # exit code, or the negative number of the signal; None: not known
    words: str  # for people: 'exit code 1', 'SIGSEGV', 'SIGKILL by the OOM killer'


def explain(status: int | None, oom: bool = False) -> ExitCode:
    """Explains a status of wait(2); None: not known. `oom`: the kernel killed a process there for lack of memory."""
    if status is None:
        return ExitCode("unknown", None, "cause not known")
    number, code = _signal(status), (status >> 8) & 0xFF
    if number:
        return _by_signal(number, oom)
    return ExitCode("error" if code else "clean", code, f"exit code {code}")


def is_sigkill(status: int) -> bool:
    return _signal(status) == signal.SIGKILL


def _signal(status: int) -> int:
    """Returns the signal that ended the process; 0: it ended by itself."""
    number, code = status & 0x7F, (status >> 8) & 0xFF
    if not number and SHELL < code <= SHELL + signal.SIGSYS:
        return code - SHELL
    return number


def _by_signal(number: int, oom: bool) -> ExitCode:
    if number == UNKNOWN_SIGNAL:
        return ExitCode("signal", None, "a signal")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if oom and number == signal.SIGKILL:
        return ExitCode("oom_kill", -number, f"{name} by the kernel, which was out of memory")
    return ExitCode(_BY_SIGNAL.get(number, "signal"), -number, name)

"""Loads libnvidia-ml.so.1, finds its functions, and knows the meaning of its codes."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.subjects.gpu.source import CallFailures

UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION = 1, 2, 3, 4
NOT_FOUND, DRIVER_NOT_LOADED = 6, 9
TIMEOUT, FUNCTION_NOT_FOUND, LOST, DRIVER_UPDATED, VERSION_MISMATCH = 10, 13, 15, 18, 25
CODES = {
    1: "uninitialized",
    2: "invalid_argument",
    3: "not_supported",
    4: "no_permission",
    6: "not_found",
    7: "insufficient_size",
    8: "insufficient_power",
    9: "driver_not_loaded",
    10: "timeout",
    11: "irq_issue",
    12: "library_not_found",
    13: "function_not_found",
    14: "corrupted_inforom",
    15: "gpu_is_lost",
    16: "reset_required",
    17: "operating_system",
    18: "version_mismatch",
    19: "in_use",
    20: "memory",
    21: "no_data",
    25: "argument_version_mismatch",
    26: "deprecated",
    27: "not_ready",
    28: "gpu_not_found",
    999: "unknown",
}
# After one of these a call is not repeated until the library is opened again.
FINAL = frozenset({NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, VERSION_MISMATCH, 26})

NOT_AVAILABLE = ((1 << 32) - 1, (1 << 64) - 1)  # NVML_VALUE_NOT_AVAILABLE is -1, of either size

Function = Callable[..., int]


class Lost(SourceError):
    """The GPU in question has fallen off the bus, or does not answer."""


class Gone(SourceError):
    """The library must be closed and opened again."""


class Library:
    """The library, opened and initialised.

    Hot calls go by `function`, straight to the C functions; the others by `ask`, through pynvml, which is imported
    (5 MiB) only when there is a library at all.
    """

    def __init__(self, path: str, failures: CallFailures) -> None:
        """Raises NoData when there is no library or no driver, Gone when it cannot be initialised now."""
        self.failures = failures
        self._cdll = load(path)
        self.pynvml: Any = importlib.import_module("pynvml")  # has no types; Any as ctypes' structs are
        setattr(self.pynvml, "nvmlLib", self._cdll)  # noqa: B010 - of a module without types; the library called directly
        self._refused: dict[tuple[str, str], int] = {}  # device and function to the code
        try:
            self.pynvml.nvmlInit()
        except self.pynvml.NVMLError as error:
            self.failures.add("nvmlInit", code_name(error.value))
            if error.value == DRIVER_NOT_LOADED:
                raise NoData("libnvidia-ml is installed, but the NVIDIA driver is not loaded") from None
            if error.value == DRIVER_UPDATED:  # a process keeps the library that it has loaded
                raise Gone(
                    "the NVIDIA driver and its library are of different releases: restart vllm-exporter (its "
                    "container), or the host if that does not help"
                ) from None
            raise Gone(f"nvmlInit: {code_name(error.value)}") from None

    def function(self, name: str) -> Function | None:
        """Returns None when this driver's library does not export it."""
        found: Function | None = getattr(self._cdll, name, None)
        return found

    def ask(self, uuid: str, name: str, *arguments: object, quiet: tuple[int, ...] = ()) -> Any:
        """Returns the answer of pynvml's function, or None; `uuid` names the device that is asked, '' the system.

        Codes in `quiet` are no failures. A function that is not supported is not called again. Raises Lost and Gone.
        """
        if self.refused(uuid, name):
            return None
        try:
            return getattr(self.pynvml, name)(*arguments)
        except self.pynvml.NVMLError as error:
            code = int(error.value)
        except AttributeError:
            code = FUNCTION_NOT_FOUND  # an older pynvml
        if code and code not in quiet:  # pynvml raises 0 for no samples of processes
            self.failed(uuid, name, code)
        return None

    def refused(self, uuid: str, function: str) -> bool:
        """True if the driver has refused this for good."""
        return (uuid, function) in self._refused

    def refusal(self, uuid: str, function: str) -> int:
        """Returns the code with which the driver has refused this for good; 0 when it has not."""
        return self._refused.get((uuid, function), 0)

    def forget_refusals(self) -> None:
        """Allows all calls again."""
        self._refused.clear()

    def failed(self, uuid: str, function: str, code: int, detail: str = "") -> None:
        """Counts a failed call, and remembers one that is not worth repeating. Raises Lost and Gone.

        `detail` distinguishes calls that are counted together.
        """
        self.failures.add(function, code_name(code))
        if code in FINAL:
            self._refused[uuid, function + detail] = code
        elif code == LOST:
            raise Lost(f"{function}: {code_name(code)}")
        elif code == UNINITIALIZED:
            raise Gone(f"{function}: {code_name(code)}")

    def close(self) -> None:
        try:
            self.pynvml.nvmlShutdown()
        except self.pynvml.NVMLError as error:
            self.failures.add("nvmlShutdown", code_name(error.value))


def load(path: str) -> ctypes.CDLL:
    """Loads the library. Raises NoData when there is none: no NVIDIA driver, or a container without it."""
    try:
        return ctypes.CDLL(path)
    except OSError:
        raise NoData(f"no {path}: this host has no NVIDIA driver, or this container cannot see it") from None


def known(number: int | None) -> int | None:
    """Returns the number; None for what stands for none."""
    return None if number in NOT_AVAILABLE else number


def code_name(code: int) -> str:
    return CODES.get(code, str(code))


def text(answer: object) -> str:
    """Returns text; pynvml of some releases gives bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer or "")

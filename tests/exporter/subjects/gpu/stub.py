"""The stand-in for libnvidia-ml.so.1, and its knobs."""

from __future__ import annotations

import ctypes
import importlib
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_stub.c")
EVERY = -1  # GPU
XID = 0x8  # event type
pynvml = importlib.import_module("pynvml")  # has no types


class Stub:
    """Its library is loaded in this process; knobs hold until the next test."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._c = ctypes.CDLL(self.path)
        self._c.stub_reset()
        self._c.stub_reset_library()
        pynvml._nvmlGetFunctionPointer_cache.clear()  # of another variant of the library

    def set(self, name: str, value: float, gpu: int = EVERY) -> None:
        """See nvml_stub.c for the names."""
        self._c.stub_set(name.encode(), gpu, ctypes.c_double(value))

    def fault(self, function: str, code: int = 0, gpu: int = EVERY, slow: float = 0.0) -> None:
        """Lets the function fail with the code, or take `slow` seconds longer; '*' is all of them."""
        self._c.stub_fault(function.encode(), gpu, code, int(slow * 1e6))

    def heal(self) -> None:
        self._c.stub_clear_faults()

    def hang(self, on: bool) -> None:
        """Every call waits until this is switched off."""
        self._c.stub_hang(int(on))

    def xid(self, gpu: int, code: int) -> None:
        self._c.stub_event(gpu, ctypes.c_uint64(XID), ctypes.c_uint64(code))

    @property
    def is_open(self) -> bool:
        return bool(self._c.stub_initialised())


def build(folder: Path, *, old: bool = False) -> Path:
    """The library, in the folder. `old` leaves out the functions that drivers of 2020 do not have."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the stand-in for libnvidia-ml.so.1 cannot be built")
    made = folder / "libnvidia-ml.so.1"
    flags = ["-DWITHOUT_NEW"] if old else []
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", *flags]
    subprocess.run([compiler, *options, "-o", str(made), str(SOURCE), "-lpthread"], check=True, timeout=60)
    return made

"""A block of memory that C functions write into and that one unpacking reads."""

from __future__ import annotations

import ctypes
import struct
from typing import Any


class Memory:
    """Places are given out in order; what is to be read of them is said in the same order."""

    def __init__(self, size: int) -> None:
        self._memory = ctypes.create_string_buffer(size)
        self._bytes = memoryview(self._memory).cast("B")
        self._end = 0  # of what is given out
        self._formats = ["="]
        self._read_to = 0
        self.count = 0  # of numbers that are read
        self._struct = struct.Struct("=")

    def place(self, size: int, preset: bytes = b"") -> int:
        """The offset of `size` bytes, zeros after `preset`, aligned for any C type."""
        offset = self._end
        self._end += (size + 7) & ~7
        if self._end > len(self._memory):
            raise ValueError(f"{self._end} bytes wanted of {len(self._memory)}")
        self._bytes[offset : offset + len(preset)] = preset
        return offset

    def read(self, offset: int, layout: str) -> int:
        """Says what is read at `offset`, in the words of the struct module. The index of its first number."""
        first = self.count
        one = struct.Struct(f"={layout}")
        self._formats += [f"{offset - self._read_to}x", layout]
        self._read_to = offset + one.size
        self.count += len(one.unpack(bytes(one.size)))
        return first

    def seal(self) -> None:
        """No more will be said."""
        self._struct = struct.Struct("".join(self._formats))

    def numbers(self) -> tuple[Any, ...]:
        return self._struct.unpack_from(self._memory)

    def pointer(self, offset: int) -> Any:
        """For a C function; keeps the memory alive."""
        return ctypes.byref(self._memory, offset)

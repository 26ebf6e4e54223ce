"""Reads field values: many numbers by one call of nvmlDeviceGetFieldValues, each with its own type and code (nvml.h).

A field value is 40 bytes: id, scope, timestamp (µs), latency (µs), type of the value, code, value (8 bytes).
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from vllm_exporter.subjects.gpu.nvml.library import Library

FUNCTION = "nvmlDeviceGetFieldValues"
SIZE = 40
ALL_LINKS = 0xFFFFFFFF  # the scope that stands for the sum over all NVLinks

# The format of each type of value for the struct module, always 8 bytes: double, unsigned int, unsigned long, unsigned
# long long, signed long long, signed int, unsigned short.
FORMATS = {0: "d", 1: "I4x", 2: "Q", 3: "Q", 4: "q", 5: "i4x", 6: "H6x"}
NONE = {1: (1 << 32) - 1, 2: (1 << 64) - 1, 3: (1 << 64) - 1}  # by type: NVML_VALUE_NOT_AVAILABLE, which is -1
_HEAD = struct.Struct("=II32x")
_ONE = struct.Struct("=II8xqII8s")
_VALUES = {kind: struct.Struct(f"={layout}") for kind, layout in FORMATS.items()}

FieldKey = tuple[int, int]  # field id, scope


class FieldValue(NamedTuple):
    """One answer. `value` is None when there is none, or no number."""

    code: int
    type: int
    value: float | None
    latency: float  # seconds the driver took for it, as it reports


def read_fields(library: Library, uuid: str, handle: Any, keys: Iterable[FieldKey]) -> dict[FieldKey, FieldValue]:
    """Returns the fields that were answered or may be next time; failures are counted. Raises Lost and Gone."""
    wanted = [key for key in keys if not library.refused(uuid, full_name(key))]
    function = library.function(FUNCTION)
    if function is None or not wanted or library.refused(uuid, FUNCTION):
        return {}
    memory = ctypes.create_string_buffer(preset(wanted), len(wanted) * SIZE)
    if code := function(handle, len(wanted), memory):
        library.failed(uuid, FUNCTION, code)
        return {}
    answers = parse_fields(memory.raw, wanted)
    for key, answer in answers.items():
        if answer.code:
            library.failed(uuid, field_name(key), answer.code, scope_name(key))
    return answers


def preset(keys: Sequence[FieldKey]) -> bytes:
    """Returns the array to pass to the call."""
    return b"".join(_HEAD.pack(*key) for key in keys)


def parse_fields(memory: bytes, keys: Sequence[FieldKey]) -> dict[FieldKey, FieldValue]:
    """Parses the array that the call filled, in the order of `keys`."""
    found: dict[FieldKey, FieldValue] = {}
    for key, (_, _, latency, kind, code, raw) in zip(keys, _ONE.iter_unpack(memory), strict=True):
        value = None if code or kind not in _VALUES else _VALUES[kind].unpack(raw)[0]
        if value == NONE.get(kind, math.inf):
            value = None
        found[key] = FieldValue(code, kind, value if value is None or math.isfinite(value) else None, latency / 1e6)
    return found


@cache  # some hundred keys, asked for all the time
def full_name(key: FieldKey) -> str:
    """Returns the name under which a refusal is remembered: field and link."""
    return field_name(key) + scope_name(key)


def field_name(key: FieldKey) -> str:
    """Returns the name for error counters, without the scope (a link)."""
    return f"{FUNCTION}({key[0]})"


def scope_name(key: FieldKey) -> str:
    """Names the link: one that is down may not answer what others do."""
    return "" if key[1] in (0, ALL_LINKS) else f" of link {key[1]}"

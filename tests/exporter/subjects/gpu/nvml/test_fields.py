from __future__ import annotations

import struct

from vllm_exporter.subjects.gpu.nvml.fields import ALL_LINKS, FieldValue, field_name, parse_fields, preset, scope_name


def answer(kind: int, value: bytes, code: int = 0, latency: int = 7) -> bytes:
    return struct.pack("=IIqqII8s", 185, 0, 1_700_000_000_000_000, latency, kind, code, value)


def test_each_type_is_read_as_what_it_is() -> None:
    memory = b"".join(
        [
            answer(0, struct.pack("=d", 2.5)),
            answer(1, struct.pack("=I4x", 4_000_000_000)),
            answer(3, struct.pack("=Q", 1 << 63)),
            answer(4, struct.pack("=q", -5)),
            answer(5, struct.pack("=i4x", -8)),
            answer(6, struct.pack("=H6x", 65_535)),
        ]
    )
    found = parse_fields(memory, [(number, 0) for number in range(6)])
    assert [one.value for one in found.values()] == [2.5, 4_000_000_000, 1 << 63, -5, -8, 65_535]
    assert found[0, 0].latency == 7e-6


def test_what_failed_or_has_an_unknown_type_has_no_value() -> None:
    memory = answer(3, b"\1" * 8, code=3) + answer(99, b"\1" * 8)
    assert parse_fields(memory, [(29, 0), (30, 0)]) == {
        (29, 0): FieldValue(3, 3, None, 7e-6),
        (30, 0): FieldValue(0, 99, None, 7e-6),
    }


def test_the_array_names_field_and_scope() -> None:
    assert preset([(138, ALL_LINKS), (82, 0)]) == (
        struct.pack("=II", 138, 0xFFFFFFFF) + bytes(32) + struct.pack("=II", 82, 0) + bytes(32)
    )


def test_links_are_counted_together_and_refused_alone() -> None:
    assert field_name((206, 3)) == "nvmlDeviceGetFieldValues(206)"
    assert scope_name((206, 3)) == " of link 3"
    assert scope_name((138, ALL_LINKS)) == scope_name((185, 0)) == ""

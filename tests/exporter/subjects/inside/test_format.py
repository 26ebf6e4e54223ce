"""Decoding snapshot files, against the reference writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.subjects.inside.snapshot_writer import Line, SnapshotWriter
from vllm_exporter.subjects.inside.format import (
    HEADER,
    BadSnapshot,
    Directory,
    Entry,
    Header,
    ProcessIdentity,
    is_whole,
    parse_directory,
    parse_header,
    parse_values,
)

BOOT = "00112233445566778899aabbccddeeff"


def written(folder: Path, lines: list[Line], values: list[float]) -> bytes:
    writer = SnapshotWriter(
        folder, pid=7, start=99, boot=BOOT, namespace=4026531836, port=8000, server="gpu1:8000", rank="TP0"
    )
    writer.lines(lines)
    writer.write(values, written=12.5)
    writer.close()
    return writer.path.read_bytes()


def described(data: bytes) -> Directory:
    header = parse_header(data)
    return parse_directory(data[header.directory_at :][: header.directory_size], header)


def test_reads_what_the_reference_writer_wrote(tmp_path: Path) -> None:
    lines = [
        Line("counter", "vllm_requests_total", (("status", "success"),)),
        Line("histogram", "vllm_request_latency_seconds", (), (0.1, 1.0)),
        Line("max", "vllm_peak", ()),
    ]
    data = written(tmp_path, lines, [3, 5, 6, 7, 9.5, 2])
    header = parse_header(data)
    assert header.identity == ProcessIdentity(BOOT, 4026531836, 7, 99)
    assert (header.port, header.written, header.count) == (8000, 12.5, 6)
    assert is_whole(data, header)
    assert parse_values(data, header) == (3, 5, 6, 7, 9.5, 2)
    assert described(data) == Directory(
        (
            Entry("counter", "vllm_requests_total", (("status", "success"),), 0),
            Entry("histogram", "vllm_request_latency_seconds", (), 1, (0.1, 1.0)),
            Entry("max", "vllm_peak", (), 5),
        ),
        server="gpu1:8000",
        rank="TP0",
    )


def test_a_file_without_series_is_fine(tmp_path: Path) -> None:
    assert described(written(tmp_path, [], [])) == Directory((), "gpu1:8000", "TP0")


def test_the_header_has_the_size_that_the_format_says() -> None:
    assert HEADER.size == 128


@pytest.mark.parametrize(("at", "flipped"), [(28, "count"), (60, "start"), (95, "written"), (128, "a value")])
def test_one_flipped_byte_is_noticed(tmp_path: Path, at: int, flipped: str) -> None:
    data = bytearray(written(tmp_path, [Line("counter", "a")], [1.0]))
    header = parse_header(bytes(data))
    data[at] ^= 1
    assert not is_whole(bytes(data), header), flipped


def test_an_odd_sequence_is_a_write_in_progress(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path, [Line("counter", "a")], [1.0]))
    data[16] |= 1
    assert not is_whole(bytes(data), parse_header(bytes(data)))


@pytest.mark.parametrize(
    ("at", "new", "reason", "words"),
    [
        (0, b"VLLMSNAQ", "magic", "begins with b'VLLMSNAQ'"),
        (8, b"\x02\0\0\0", "version", "version 2"),
        (12, b"\x81\0\0\0", "version", "header of 129 bytes"),
        (28, b"\xff\xff\xff\xff", "size", "4294967295 values"),
        (32, b"\x10\0\0\0", "size", "directory"),
        (36, b"\xff\xff\xff\x7f", "size", "too many"),
    ],
)
def test_says_what_is_wrong_with_a_header(tmp_path: Path, at: int, new: bytes, reason: str, words: str) -> None:
    data = bytearray(written(tmp_path, [Line("counter", "a")], [1.0]))
    data[at : at + len(new)] = new
    with pytest.raises(BadSnapshot, match=words) as caught:
        parse_header(bytes(data))
    assert caught.value.reason == reason


def test_a_file_shorter_than_a_header_is_truncated() -> None:
    with pytest.raises(BadSnapshot, match="100 bytes, a header has 128") as caught:
        parse_header(b"VLLMSNAP" + bytes(92))
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_a_value_that_no_sum_would_survive(tmp_path: Path, value: float) -> None:
    data = written(tmp_path, [Line("counter", "a")], [value])
    with pytest.raises(BadSnapshot, match="not finite"):
        parse_values(data, parse_header(data))


@pytest.mark.parametrize(
    ("text", "count", "words"),
    [
        (b"counter\ta\t\n", 2, "describes 1 values, the header has 2"),
        (b"counter\ta\t\ncounter\ta\t\n", 2, "twice"),
        (b"summary\ta\t\n", 1, "no series: 'summary'"),
        (b"counter\n", 1, "no series"),
        (b"histogram\ta\t1,1\n", 4, "do not ascend"),
        (b"histogram\ta\tone\n", 3, "no number"),
        (b"histogram\ta\tinf\n", 3, "do not ascend"),
        (b"counter\ta\t\tstatus=\x01\n", 1, "not printable"),
        (b"counter\t" + b"a" * 129 + b"\t\n", 1, "too long"),
        (b"\xff\n", 1, "not UTF-8"),
    ],
)
def test_names_the_line_of_a_directory_that_makes_no_sense(text: bytes, count: int, words: str) -> None:
    header = Header(2, 0, count, 200, len(text), 0, 1, 0, ProcessIdentity(BOOT, 0, 1, 1), 0.0)
    with pytest.raises(BadSnapshot, match=words) as caught:
        parse_directory(text, header)
    assert caught.value.reason == "directory"

"""Reading a whole log, whatever form it has."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.people.log_report_input import LogInput

TEXT = "first line\nsecond ▄ line\nthird"
LINES = [line.encode() for line in TEXT.split("\n")]
FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "gzip": lambda text: gzip.compress(text.encode()),
    "gzip in two parts": lambda text: gzip.compress(text[:7].encode()) + gzip.compress(text[7:].encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16 with a mark": lambda text: text.encode("utf-16"),
    "UTF-16, big endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16 in gzip": lambda text: gzip.compress(text.encode("utf-16")),
    "Windows' line breaks": lambda text: text.replace("\n", "\r\n").encode(),
}


def read(path: Path, content: bytes) -> list[bytes]:
    path.write_bytes(content)
    return [line for batch in LogInput(str(path)).batches() for line in batch]


@pytest.mark.parametrize("form", FORMS)
def test_reads_the_same_lines_from_any_form(form: str, tmp_path: Path) -> None:
    assert read(tmp_path / "a.log", FORMS[form](TEXT)) == LINES


@pytest.mark.parametrize("content", [b"", b"\x00" * 1000, random.Random(1).randbytes(100_000), b"\xff\xfe", b"\n"])
def test_survives_what_is_no_log(content: bytes, tmp_path: Path) -> None:
    read(tmp_path / "a.log", content)


def test_a_line_of_20_megabytes_costs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"x" * 20_000_000 + b"\nlast")
    tracemalloc.start()
    lines = [line for batch in LogInput(str(tmp_path / "a.log")).batches() for line in batch]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(line) for line in lines] == [65536, 4]
    assert most < 2_000_000


def test_tells_how_far_a_packed_log_that_was_cut_could_be_read(tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode())[:-2000])
    source = LogInput(str(tmp_path / "a.gz"))
    lines = [line for batch in source.batches() for line in batch]
    assert lines[:2] == [b"line 0", b"line 1"]
    assert "ended before the end" in source.problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\x1f\x8bgarbage", "a.log: "), (b"\x28\xb5\x2f\xfdx", "packed with zstd; run zstd -dc FILE | vllm-exporter")],
)
def test_what_cannot_be_unpacked_is_an_error_that_says_what_to_do(content: bytes, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=problem):
        read(tmp_path / "a.log", content)


def test_the_file_says_when_its_last_line_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x")
    os.utime(path, (1e9, 1e9))
    assert LogInput(str(path)).latest == 1e9

"""Pages that are compressed piece by piece."""

from __future__ import annotations

import gzip as standard
import random
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from vllm_exporter.metrics.gzip import Piece, gzip, join

PIECES = [Piece(b"vllm_test_up 1\n" * 100), Piece(b""), Piece(b"vllm_test_steps_total 12\n"), Piece(b"# EOF\n")]
PAGE = b"vllm_test_up 1\n" * 100 + b"vllm_test_steps_total 12\n# EOF\n"


def test_pieces_make_a_page() -> None:
    assert join(PIECES) == PAGE


def test_gzip_gives_the_page_back() -> None:
    assert standard.decompress(gzip(PIECES)) == PAGE


def test_a_page_is_one_member_and_nothing_follows_it() -> None:
    reader = zlib.decompressobj(31)  # stops at the end of the first member, as browsers do
    assert reader.decompress(gzip(PIECES)) == PAGE
    assert (reader.eof, reader.unused_data) == (True, b"")


def test_a_page_of_nothing_is_an_empty_file() -> None:
    assert standard.decompress(gzip([])) == b""
    assert standard.decompress(gzip([Piece(b"")])) == b""


def test_repetition_is_compressed() -> None:
    assert len(gzip(PIECES)) < len(PAGE) / 10


def test_what_cannot_be_compressed_comes_back_as_well() -> None:
    noise = random.Random(0).randbytes(100_000)
    assert standard.decompress(gzip([Piece(noise), Piece(noise[:7])])) == noise + noise[:7]


def test_a_piece_is_compressed_once() -> None:
    piece = Piece(b"vllm_test_up 1\n")
    assert piece.deflated is piece.deflated


def test_the_program_gzip_reads_it(tmp_path: Path) -> None:
    if shutil.which("gzip") is None:
        pytest.skip("gzip is not installed")
    file = tmp_path / "page.gz"
    file.write_bytes(gzip(PIECES))
    assert subprocess.run(["gzip", "-dc", file], capture_output=True, check=True).stdout == PAGE

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.logs.tail import read_tail


def test_a_short_log_is_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"one\ntwo\nthree")
    assert read_tail(log) == (b"one", b"two", b"three")


def test_of_a_long_log_the_end_without_a_line_that_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"the first line\n\xff is no UTF-8\nlast\n")
    assert read_tail(log, 12) == (b"last",)


def test_an_empty_log_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    assert read_tail(tmp_path / "a.log") == ()


def test_a_log_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.log: No such file"):
        read_tail(tmp_path / "a.log")

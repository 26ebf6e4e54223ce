"""Following a file through everything that happens to log files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.subjects.logs.file import LogFile
from vllm_exporter.subjects.logs.source import MAX_LINE, MAX_READ, Batch, LineCutter, Position


def texts(batch: Batch) -> list[bytes]:
    return [line.text for line in batch.lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vllm.log"


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def test_follows_a_file_from_its_end(path: Path) -> None:
    path.write_bytes(b"old\n")
    log = LogFile(path, {})
    assert texts(log.read()) == []
    append(path, b"new\nnewer\n")
    assert texts(log.read()) == [b"new", b"newer"]
    assert texts(log.read()) == []


def test_reads_a_file_that_appears_later_from_its_start(path: Path) -> None:
    log = LogFile(path, {})
    with pytest.raises(NoData, match="does not exist"):
        log.read()
    path.write_bytes(b"first\n")
    assert texts(log.read()) == [b"first"]


def test_waits_for_the_end_of_a_line(path: Path) -> None:
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    append(path, b"begin")
    assert texts(log.read()) == []
    append(path, b" end\nnext")
    assert texts(log.read()) == [b"begin end"]


def test_takes_a_line_without_an_end_after_three_readings_of_nothing(path: Path) -> None:
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    append(path, b"the last words")
    assert [texts(log.read()) for _ in range(5)] == [[], [], [], [b"the last words"], []]


def test_reads_the_rest_of_a_file_that_was_renamed_and_then_the_new_one(path: Path) -> None:
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    append(path, b"before\nlast, without an end")
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"after\n")
    assert texts(log.read()) == [b"before", b"last, without an end", b"after"]


def test_reads_the_rest_of_a_file_that_was_removed(path: Path) -> None:
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    append(path, b"last\n")
    path.unlink()
    assert texts(log.read()) == [b"last"]
    with pytest.raises(NoData):
        log.read()
    path.write_bytes(b"again\n")
    assert texts(log.read()) == [b"again"]


def test_starts_anew_in_a_file_that_was_truncated(path: Path) -> None:
    path.write_bytes(b"a long line that was there\n")
    log = LogFile(path, {})
    log.read()
    os.truncate(path, 0)
    append(path, b"short\n")
    assert texts(log.read()) == [b"short"]


def test_notices_a_truncation_after_which_the_file_grew_longer_than_before(path: Path) -> None:
    path.write_bytes(b"one\n")
    log = LogFile(path, {})
    log.read()
    os.truncate(path, 0)
    append(path, b"two\nthree\nfour\n")
    assert texts(log.read()) == [b"two", b"three", b"four"]


def test_goes_on_where_it_was_before_a_restart(path: Path) -> None:
    path.write_bytes(b"seen\n")
    log = LogFile(path, {})
    log.read()
    append(path, b"read\nhalf")
    assert texts(log.read()) == [b"read"]
    position = log.position()
    log.close()
    append(path, b" and half\n")
    assert texts(LogFile(path, position).read()) == [b"half and half"]


def test_reads_a_new_file_from_its_start_after_a_restart(path: Path) -> None:
    path.write_bytes(b"seen\n")
    log = LogFile(path, {})
    log.read()
    position = log.position()
    log.close()
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"other, and longer than what was seen\n")
    assert texts(LogFile(path, position).read()) == [b"other, and longer than what was seen"]


@pytest.mark.parametrize(
    "position",
    [{"offset": -1}, {"offset": "x"}, {"device": 1, "inode": 2, "offset": 3, "head_bytes": "zz"}, {"offset": 10**9}],
)
def test_a_position_that_makes_no_sense_means_from_the_start(path: Path, position: Position) -> None:
    path.write_bytes(b"all\n")
    assert texts(LogFile(path, position).read()) == [b"all"]


def test_cuts_and_counts_a_line_that_does_not_end(path: Path) -> None:
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    append(path, b"x" * (3 * MAX_LINE) + b"\nnext\n")
    batches = [log.read() for _ in range(4)]
    assert [len(text) for batch in batches for text in texts(batch)] == [MAX_LINE, 4]
    assert sum(batch.cut for batch in batches) == 1


def test_drops_what_follows_a_cut_line_up_to_its_end() -> None:
    cutter = LineCutter()
    assert [len(line) for line in cutter.feed(b"x" * (MAX_LINE + 1))] == [MAX_LINE]
    assert cutter.feed(b"still the same line") == []
    assert cutter.feed(b" end\nnext\n") == [b"next"]
    assert cutter.take_cut() == 1
    assert cutter.take_cut() == 0


def test_of_a_progress_bar_the_last_state_counts() -> None:
    assert LineCutter().feed(b"0%\r50%\r100%\nx\r\n\n") == [b"100%", b"x", b""]


def test_reads_a_large_backlog_in_bounded_steps(path: Path) -> None:
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    line = b"y" * 1023 + b"\n"
    append(path, line * 180)
    batches = [log.read() for _ in range(4)]
    assert [len(batch.lines) for batch in batches] == [64, 64, 52, 0]
    assert [batch.live for batch in batches] == [False, False, True, True]
    assert batches[0].unread == 180 * 1024 - MAX_READ


@pytest.mark.parametrize(("limit", "skipped"), [(10, 11), (14, 7)], ids=["at the start of a line", "within a line"])
def test_gives_up_the_oldest_of_what_it_cannot_catch_up_with(
    path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, skipped: int
) -> None:
    monkeypatch.setattr("vllm_exporter.subjects.logs.file.MAX_BEHIND", limit)
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    append(path, b"0123456789\nlast line\n")
    batch = log.read()
    assert (texts(batch), batch.skipped) == ([b"last line"], skipped)


def test_keeps_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"")
    log = LogFile(path, {})
    log.read()
    append(path, b"\xff\xfe\x00\n")
    assert texts(log.read()) == [b"\xff\xfe\x00"]


def test_says_why_a_log_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a directory"):
        LogFile(tmp_path, {}).read()

    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(SourceError, match=r"a\.log: Permission denied"):
        LogFile(Path("/a.log"), {}, refuse).read()


def test_a_named_pipe_does_not_hold_the_reader(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(SourceError):
        LogFile(path, {}).read()


def test_a_share_that_does_not_answer_for_a_moment_has_the_same_file_afterwards(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"old\n")
    log = LogFile(path, {})
    log.read()

    def stale(path: Path) -> os.stat_result:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as broken:
        broken.setattr(os, "stat", stale)
        with pytest.raises(SourceError, match="Stale file handle"):
            log.read()
    append(path, b"new\n")
    assert texts(log.read()) == [b"new"]


def test_a_disk_that_fails_is_told_and_not_raised_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"old\n")
    log = LogFile(path, {})
    log.read()

    def broken(fd: int, size: int, at: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(SourceError, match=r"vllm\.log: Input/output error"):
        log.read()

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.linux.kept_file import RETRY, KeptFile


def test_reads_what_is_in_the_file_now(tmp_path: Path) -> None:
    path = tmp_path / "loadavg"
    path.write_bytes(b"1\n")
    kept = KeptFile(path)
    assert kept.read() == b"1\n"
    path.write_bytes(b"22\n")
    assert kept.read() == b"22\n"


def test_reads_a_long_file_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "stat"
    kept = KeptFile(path)
    for size in (3584, 4096, 8192, 100_000, 5):
        path.write_bytes(b"x" * size)
        assert kept.read() == b"x" * size


def test_goes_on_after_a_page_as_tables_of_the_kernel_need_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dev"
    path.write_bytes(b"x" * 9000)
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, 4000), at))
    assert KeptFile(path).read() == b"x" * 9000


def test_a_file_that_is_not_there_is_looked_for_again_after_a_while(tmp_path: Path) -> None:
    path = tmp_path / "pressure"
    kept = KeptFile(path)
    assert kept.read() is None
    path.write_bytes(b"1\n")
    assert [kept.read() for _ in range(RETRY)] == [None] * RETRY
    assert kept.read() == b"1\n"


@pytest.mark.parametrize("gone", [errno.ENODEV, errno.ESRCH])
def test_a_file_whose_subject_ended_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: int) -> None:
    path = tmp_path / "memory.max"
    path.write_bytes(b"1\n")
    kept = KeptFile(path)
    kept.read()
    monkeypatch.setattr(os, "pread", fails_once(OSError(gone, "gone")))
    assert kept.read() == b"1\n"


def test_a_file_switched_off_in_the_kernel_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pressure").write_bytes(b"1\n")
    monkeypatch.setattr(os, "pread", fails_once(OSError(errno.EOPNOTSUPP, "not supported")))
    assert KeptFile(tmp_path / "pressure").read() is None


def test_says_which_file_cannot_be_read_and_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "diskstats"
    path.write_bytes(b"1\n")
    kept = KeptFile(path)
    kept.read()
    monkeypatch.setattr(os, "pread", fails_once(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(SourceError, match="diskstats: cannot be read: Permission denied"):
        kept.read()
    assert kept.read() == b"1\n"


def test_can_be_read_after_it_was_closed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n")
    kept = KeptFile(tmp_path / "a")
    for _ in range(2):
        assert kept.read() == b"1\n"
        kept.close()


def test_reads_a_file_of_the_kernel_the_same_twice() -> None:
    kept = KeptFile(Path("/proc/sys/kernel/ostype"))
    assert [kept.read(), kept.read()] == [b"Linux\n", b"Linux\n"]


def fails_once(error: OSError) -> object:
    pread, left = os.pread, [error]

    def read(fd: int, size: int, at: int) -> bytes:
        if left:
            raise left.pop()
        return pread(fd, size, at)

    return read

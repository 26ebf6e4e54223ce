"""Reading the kernel's log."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.linux.kernel_log import KernelLine, KernelLog, parse_record


def test_reads_a_record_and_leaves_out_what_it_is_about() -> None:
    record = b"3,339,5140900,-;NVRM: Xid (PCI:0000:17:00): 79\n SUBSYSTEM=pci\n DEVICE=+pci:0000:17:00.0\n"
    assert parse_record(record) == KernelLine(339, 5.1409, 3, "NVRM: Xid (PCI:0000:17:00): 79")
    assert parse_record(b"30,1,2,c,caller=T1;from a program\n") == KernelLine(1, 2e-06, 6, "from a program")


def test_says_what_it_got_when_a_record_is_none() -> None:
    with pytest.raises(SourceError, match="b'hello'"):
        parse_record(b"hello")


def test_reads_until_there_is_no_more_and_counts_what_was_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kmsg").write_bytes(b"")
    answers: list[bytes | OSError] = [
        b"6,1,1000000,-;one\n", BrokenPipeError(), b"6,9,2000000,-;nine\n", BlockingIOError(), b"6,10,1,-;ten\n",
    ]  # fmt: skip

    def read(fd: int, size: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    log = KernelLog(tmp_path / "kmsg", read)
    assert [line.text for line in log.read()] == ["one", "nine"]
    assert log.missed == 1
    assert [line.text for line in log.read(limit=1)] == ["ten"]
    log.close()


def test_what_was_printed_before_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "kmsg"
    file.write_bytes(b"6,1,1000000,-;old\n")
    log = KernelLog(file)
    assert log.read() == []
    with file.open("ab") as more:
        more.write(b"6,2,1000000,-;new\n")
    assert [line.text for line in log.read()] == ["new"]
    log.close()


def test_a_log_that_is_not_there_or_not_for_us_is_no_fault(tmp_path: Path) -> None:
    with pytest.raises(NoData, match="does not exist"):
        KernelLog(tmp_path / "none")
    if os.geteuid() != 0:
        (tmp_path / "kmsg").touch(mode=0)
        with pytest.raises(NoData, match="CAP_SYSLOG"):
            KernelLog(tmp_path / "kmsg")


@pytest.mark.real
def test_the_kernel_of_this_host_is_read_without_waiting() -> None:
    try:
        log = KernelLog()
    except NoData as nothing:
        pytest.skip(str(nothing))
    began = time.monotonic()
    log.read()
    log.read()  # by now there is nothing left to read: the kernel would make it wait
    assert time.monotonic() - began < PATIENCE / 10
    log.close()

"""Reading and understanding the kernel's log. The lines are quoted from public reports."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.linux.kernel_log import (
    KernelLine,
    KernelLog,
    OomKill,
    parse_lost,
    parse_oom_kill,
    parse_record,
    parse_xid,
)


@pytest.mark.parametrize(
    ("line", "address", "code"),
    [
        ("NVRM: Xid (0002:00): 13, 0001 00000000 00005039 00000328 00000000 00000023", "0000:02:00.0", 13),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", "0000:03:00.0", 14),
        ("NVRM: Xid (PCI:0000:23:00): 79, GPU has fallen off the bus.", "0000:23:00.0", 79),
        ("NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp …", "0000:cb:00.0", 13),
        ("NVRM: Xid (PCI:0000:0A:00): 31, pid=13332, name=cuda, Ch 00000010, intr 00000000.", "0000:0a:00.0", 31),
        ("NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7194, Contained: CE User Channel", "0000:01:00.0", 94),
        ("NVRM: Xid (PCI:0000:3b:00 GPU-I:01 GPU-CI:02): 13, pid=9, name=a, Graphics Exception", "0000:3b:00.0", 13),
        ("NVRM: Xid (PCI:0000:dc:00): 45, pid=1, name=python3, Ch 1 caused by previous Xid 149", "0000:dc:00.0", 45),
        ("NVRM: Xid (PCI:0008:06:00): 145, RLW_SRC_TRACK", "0008:06:00.0", 145),
        ("[14328.1] NVRM: Xid (PCI:00000000:17:00.0): 48, DBE", "0000:17:00.0", 48),
    ],
)
def test_reads_the_gpu_and_the_code_of_an_xid(line: str, address: str, code: int) -> None:
    assert parse_xid(line) == (address, code)


@pytest.mark.parametrize(
    "line",
    [
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)",
        "NVRM: GPU at PCI:0000:0a:00: GPU-760d0170-b7c5-6817-9414-6cc7112645de",
        "NVRM: Xid (PCI:0000:0a:00): , nothing",
        "eth0: link up",
        "",
    ],
)
def test_other_lines_are_no_xid(line: str) -> None:
    assert parse_xid(line) is None


def test_a_gpu_that_fell_off_the_bus_without_an_xid_is_seen() -> None:
    assert parse_lost("NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.") == "0000:01:00.0"
    assert parse_lost("NVRM: The NVIDIA GPU 0000:b3:00.0 … NVRM: fallen off the bus and is not") == "0000:b3:00.0"
    assert parse_lost("NVRM: Xid (PCI:0000:23:00): 79, GPU has fallen off the bus.") is None
    assert parse_lost("NVRM: loading NVIDIA UNIX Open Kernel Module") is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Memory cgroup out of memory: Killed process 1703792 (VLLM::Worker_TP) total-vm:68545920kB, anon-rss:1kB",
            OomKill(1703792, "VLLM::Worker_TP", True),
        ),
        ("Out of memory: Killed process 12 (python3) total-vm:1kB", OomKill(12, "python3", False)),
        ("Killed process 7 (a (b) c) total-vm:1kB, anon-rss:1kB", OomKill(7, "a (b) c", False)),
        ("Killed process 26042 (java), UID 1000, total-vm:1kB", OomKill(26042, "java", False)),
        ("Out of memory: Kill process 12 (python3) score 900 or sacrifice child", None),
        ("oom_reaper: reaped process 12 (python3), now anon-rss:0kB", None),
        ("oom-kill:constraint=CONSTRAINT_MEMCG,task=ray::IDLE,pid=1703792,uid=0", None),
    ],
)
def test_reads_whom_the_kernel_killed_once_on_each_kernel(line: str, expected: OomKill | None) -> None:
    assert parse_oom_kill(line) == expected


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

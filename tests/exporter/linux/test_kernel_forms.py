"""What lines of the kernel tell. They are quoted from public reports and tests, with other hosts and processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vllm_exporter.linux.kernel_forms import FORMS, KernelEvent, parse_kernel_line, words_of


def told(line: str) -> tuple[str, str] | None:
    event = parse_kernel_line(line)
    return (event.kind, event.severity) if event else None


def found(line: str) -> KernelEvent:
    event = parse_kernel_line(line)
    assert event is not None, line
    return event


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
        ("NVRM: Xid (PCI:0000:17:00): 79", "0000:17:00.0", 79),
        ("NVRM: Xid (PCI:0000:17:00): 62 3f2e(1b34) 00000000 00000000", "0000:17:00.0", 62),
        ("kernel: NVRM: Xid (PCI:0000:17:00): 119, pid=7, name=a, Timeout after 6s", "0000:17:00.0", 119),
    ],
)  # fmt: skip
def test_reads_the_gpu_and_the_code_of_an_xid(line: str, address: str, code: int) -> None:
    assert (found(line).address, found(line).code) == (address, code)


def test_an_xid_whose_code_cannot_be_read_is_an_error_all_the_same() -> None:
    line = "NVRM: Xid (PCI:0000:0a:00): , nothing"
    assert (told(line), found(line).code) == (("xid", "error"), None)


ROWS = [
    line
    for line in (Path(__file__).parents[1] / "fixtures" / "kernel_lines.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PREFIXES = ("", "[ 1843.308145] ", "<4>[12.5] ", "May 15 23:01:53 host1 kernel: [  152.700479] ", "kernel: ",
            "2026-05-15T23:01:53.123456+00:00 host1 kernel: ", "[Tue Jul 29 03:14:22 2026] ")  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("row", ROWS)
def test_a_line_tells_the_same_behind_each_prefix(row: str, prefix: str) -> None:
    expected, _, line = row.partition(": ")
    event = found(prefix + line)
    assert f"{event.kind} {event.severity}" == expected
    assert event.start >= len(prefix)


@pytest.mark.parametrize(
    "line",
    [
        "NVRM: GPU at PCI:0000:0a:00: GPU-760d0170-b7c5-6817-9414-6cc7112645de",
        "NVRM: loading NVIDIA UNIX Open Kernel Module",
        "NVRM: The NVIDIA GPU 0000:b3:00.0",
        "NVRM: (PCI ID: 10de:26b5) installed in this system has",
        "nvidia-nvswitch0: SXid (PCI:0000:00:00.0): 20034, Severity 1 Engine instance 30 Sub-engine instance 00",
        "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Data {0x50610002, 0x10100030}",
        "Out of memory: Kill process 12 (python3) score 900 or sacrifice child",
        "Memory cgroup out of memory: Kill process 4142 (python3) score 68 or sacrifice child",
        "oom_reaper: reaped process 12 (python3), now anon-rss:0kB",
        "oom-kill:constraint=CONSTRAINT_MEMCG,task=ray::IDLE,pid=1703792,uid=0",
        "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        "amdgpu 0000:23:00.0: amdgpu: no uncorrectable hardware errors detected",
        "amdgpu 0000:23:00.0: amdgpu: 0 uncorrectable hardware errors detected in umc block",
        "amdgpu 0000:23:00.0: amdgpu: 4 correctable hardware errors detected in umc block, no user action is needed",
        "amdgpu 0000:03:00.0: amdgpu: GPU reset(2) succeeded!",
        "amdgpu 0000:04:00.0: amdgpu: GPU reset succeeded, trying to resume",
        "firefox[1234]: segfault at 0 ip 00007f sp 00007f error 4 in libxul.so[7f+1]",
        "INFO: task kworker/u8:1:92 blocked for more than 120 seconds.",
        "eth0: link up",
        "a user wrote: Killed process 12 (it was mine)",
        "",
    ],
)
def test_lines_that_tell_of_no_fault_or_repeat_one_are_left_alone(line: str) -> None:
    assert [told(prefix + line) for prefix in PREFIXES] == [None] * len(PREFIXES)


@pytest.mark.parametrize(
    ("line", "pid", "name", "cgroup"),
    [
        ("Memory cgroup out of memory: Killed process 17 (VLLM::Worker_TP) total-vm:1kB", 17, "VLLM::Worker_TP", True),
        ("Out of memory: Killed process 12 (python3) total-vm:1kB", 12, "python3", False),
        ("Killed process 7 (a (b) c) total-vm:1kB, anon-rss:1kB", 7, "a (b) c", False),
        ("Killed process 26042 (java), UID 1000, total-vm:1kB", 26042, "java", False),
        ("Killed process 26042, UID 48, (httpd) total-vm:1kB", 26042, "httpd", False),
    ],
)  # fmt: skip
def test_reads_whom_the_kernel_killed(line: str, pid: int, name: str, cgroup: bool) -> None:
    event = found(line)
    assert (event.pid, event.name, event.cgroup) == (pid, name, cgroup)


def test_a_gpu_that_fell_off_the_bus_without_an_xid_has_its_address() -> None:
    assert found("NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.").address == "0000:01:00.0"
    one_record = (
        "NVRM: The NVIDIA GPU 0000:b3:00.0\\x0aNVRM: (PCI ID: 10de:26b5) installed in this system has\\x0aNVRM: "
    )
    assert found(one_record + "fallen off the bus and is not responding to commands.").address == "0000:b3:00.0"


def test_each_kind_has_the_words_of_its_forms() -> None:
    assert words_of("lost") == ("Xid (", "fallen off the bus", "lost from bus", "as wedged")
    assert all(form.word in words_of(form.kind) for form in FORMS)


@pytest.mark.parametrize("start", ["", "amdgpu ", "NVRM: ", "[drm", "Out of memory: ", "Killed process 1 (", "a[1] "])
def test_a_line_made_to_be_slow_takes_less_than_20_ms(start: str) -> None:
    for word in {form.word for form in FORMS}:
        line = ((start + word) * 300)[:1024] + (start * 300)[:1024] + word
        began = time.process_time()
        parse_kernel_line(line)
        assert time.process_time() - began < 0.02, line

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.linux.meminfo import HostMemory, parse_host_memory, read_host_memory

GB10 = b"MemTotal:       125502464 kB\nMemFree:        40000000 kB\nMemAvailable:   100000000 kB\nBuffers: 1 kB\n"


def test_what_the_kernel_would_give_away_is_not_in_use() -> None:
    assert parse_host_memory(GB10) == HostMemory(125502464 * 1024, 25502464 * 1024)


def test_an_old_kernel_knows_only_what_is_free() -> None:
    assert parse_host_memory(b"MemTotal: 10 kB\nMemFree: 4 kB\n") == HostMemory(10240, 6144)


def test_more_that_is_available_than_there_is_makes_no_negative_use() -> None:
    """As lxcfs was seen to say."""
    assert parse_host_memory(b"MemTotal: 10 kB\nMemAvailable: 12 kB\n") == HostMemory(10240, 0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"MemTotal: 10 kB\n",
        b"MemTotal: -1 kB\nMemFree: 1 kB\n",
        b"MemTotal:\nMemFree:\n",
        b"MemTotal: 0 kB\nMemAvailable: 0 kB\n",  # lxc/lxcfs#389
        b"MemTotal: 10 kB\nMemAvailable: 18446744073708785356 kB\n",
    ],
)
def test_a_file_that_says_neither_is_not_known(text: bytes) -> None:
    assert parse_host_memory(text) is None


def test_a_host_without_the_file_is_not_known(tmp_path: Path) -> None:
    assert read_host_memory(tmp_path) is None

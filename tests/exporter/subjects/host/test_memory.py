"""Memory as files of containers show it: what lxcfs and sandboxes write in the kernel's place."""

from __future__ import annotations

import pytest

from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.memory import meminfo_rows, vmstat_rows

USUAL = b"MemTotal: 20971520 kB\nMemFree: 8615216 kB\nMemAvailable: 8615216 kB\n"


@pytest.mark.parametrize(
    "swap",
    [
        b"SwapTotal: 0 kB\nSwapFree: 18446744073709346016 kB\n",  # lxc/lxcfs#695
        b"SwapTotal: 1048576 kB\nSwapFree: 1048580 kB\n",  # lxc/lxcfs#412
        b"SwapTotal: 9007199246672720 kB\nSwapFree: 9007199246535028 kB\n",  # lxc/lxcfs#170: no limit
        b"SwapTotal: 1048576 kB\n",
    ],
)
def test_swap_that_cannot_be_in_use_is_not_said_and_memory_is(swap: bytes) -> None:
    found = dict(meminfo_rows(USUAL + swap))
    assert (names.HOST_SWAP_USED_BYTES, ()) not in found
    assert found[names.HOST_MEMORY_AVAILABLE_BYTES, ()] == 8615216 * 1024


def test_swap_in_use_is_what_is_not_free() -> None:
    found = dict(meminfo_rows(USUAL + b"SwapTotal: 100 kB\nSwapFree: 40 kB\n"))
    assert found[names.HOST_SWAP_USED_BYTES, ()] == 60 * 1024


@pytest.mark.parametrize("line", [b"Dirty: -4 kB", b"Dirty: 18446744073709551612 kB", b"Dirty:", b"", b"Dirty: much"])
def test_a_number_that_cannot_be_costs_its_own_only(line: bytes) -> None:
    found = dict(meminfo_rows(USUAL + line + b"\nWriteback: 1 kB\n"))
    assert ((names.HOST_MEMORY_DIRTY_BYTES, ()) in found, found[names.HOST_MEMORY_WRITEBACK_BYTES, ()]) == (False, 1024)


def test_a_host_with_0_bytes_of_memory_is_none() -> None:
    """lxc/lxcfs#389."""
    with pytest.raises(LookupError, match="MemTotal"):
        list(meminfo_rows(b"MemTotal: 0 kB\nMemFree: 0 kB\n"))


def test_huge_pages_without_their_size_are_not_said() -> None:
    assert (names.HOST_HUGE_PAGES_TOTAL_BYTES, ()) not in dict(meminfo_rows(USUAL + b"HugePages_Total: 4\n"))


def test_counts_of_paging_are_known_by_their_whole_name() -> None:
    found = dict(vmstat_rows(b"pgmajfault 5\noom_kill_disable\noom_kill 2\n"))
    assert (found[names.HOST_MAJOR_PAGE_FAULTS_TOTAL, ()], found[names.HOST_OOM_KILLS_TOTAL, ()]) == (5, 2)

"""Reading devices, ports and links from /sys in a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.exporter.sys_tree import SysTree
from vllm_exporter.errors import SourceError
from vllm_exporter.linux.files import read_word
from vllm_exporter.subjects.parallel.infiniband import (
    Link,
    Port,
    is_active,
    parse_rate,
    parse_speed,
    read_links,
    read_ports,
)
from vllm_exporter.subjects.parallel.sysfs import read_allowed, read_fingerprint, read_host, read_nics, read_nodes
from vllm_exporter.subjects.parallel.topology import HostTopology


@pytest.fixture
def tree(tmp_path: Path, fixtures: Path) -> SysTree:
    return SysTree(tmp_path).load(fixtures / "topology/h100_vsi.txt")


def test_reads_devices_with_their_path_and_node(tree: SysTree) -> None:
    gpu = read_host(tree.root).gpus[7]
    assert gpu.path == ("pci0000:e7", "0000:e7:00.0", "0000:ea:00.0")
    assert gpu.node == 1


def test_minus_one_is_no_node(tree: SysTree) -> None:
    tree.write("devices/pci0000:e7/0000:e7:00.0/0000:ea:00.0/numa_node", "-1")
    assert read_host(tree.root).gpus[7].node is None


def test_nodes_of_memory_only_are_left_out_and_numbers_may_have_gaps(tree: SysTree) -> None:
    tree.node(8, "160-175")
    tree.write("devices/system/node/node252/cpulist", "")  # the memory of a GPU, on POWER9 and Grace
    (tree.root / "devices/system/node/possible").write_text("0-255\n")
    assert set(read_nodes(tree.root)) == {0, 1, 8}


def test_devices_that_are_not_on_pci_are_no_network_cards(tree: SysTree) -> None:
    tree.link("class/infiniband/siw0/device", "../../virtual/net/lo")
    assert "siw0" not in [nic.name for nic in read_nics(tree.root)]


def test_an_empty_sys_is_a_host_without_anything(tmp_path: Path) -> None:
    assert read_host(tmp_path) == HostTopology({}, (), ())
    assert read_fingerprint(tmp_path) == ((), (), (), ())


def test_the_fingerprint_changes_when_a_device_comes(tree: SysTree) -> None:
    before = read_fingerprint(tree.root)
    assert read_fingerprint(tree.root) == before
    tree.device(0, "0x030200", "0x10de", "pci0000:01/0000:02:00.0")
    assert read_fingerprint(tree.root) != before


def test_a_folder_that_cannot_be_listed_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match="cannot be listed"):
        read_fingerprint(tmp_path / "loop")


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read_word(tmp_path / "speed") == ""
    assert read_word(tmp_path) == ""


def test_reads_where_a_process_may_run() -> None:
    assert read_allowed(os.getpid()) == frozenset(os.sched_getaffinity(0))
    assert read_allowed(2**22 + 1) is None


def test_reads_ports_and_links(tree: SysTree) -> None:
    tree.net("eth0", "0000:a3:00.0", "up", "100000")
    assert next(read_ports(tree.root)) == Port("mlx5_0", "1", True, 25e9)
    assert list(read_links(tree.root)) == [Link("eth0", True, 12.5e9)]


@pytest.mark.parametrize("speed", ["65535", "4294967295"])
def test_a_speed_of_minus_one_without_its_sign_is_not_known(speed: str) -> None:
    assert parse_speed(speed) is None


def test_understands_what_the_kernel_writes() -> None:
    assert (is_active("4: ACTIVE"), is_active("1: DOWN"), is_active("")) == (True, False, False)
    assert (parse_rate("400 Gb/sec (4X NDR)"), parse_rate("2.5 Gb/sec (1X SDR)"), parse_rate("")) == (
        50e9,
        0.3125e9,
        None,
    )
    assert (parse_speed("25000"), parse_speed("-1"), parse_speed("0"), parse_speed("")) == (3.125e9, None, None, None)

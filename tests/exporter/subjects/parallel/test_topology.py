"""How near devices are, and what is placed badly, on two recorded hosts and on made-up ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.sys_tree import SysTree
from vllm_exporter.errors import SourceError
from vllm_exporter.facts.ranks import count_ranks, parse_rank, step_group
from vllm_exporter.subjects.parallel.affinity import RankPlacement, find_mistakes
from vllm_exporter.subjects.parallel.sysfs import read_host
from vllm_exporter.subjects.parallel.topology import (
    HostTopology,
    Nic,
    PciDevice,
    choose_level,
    gpu_pairs,
    is_gpu,
    nearest_nics,
    normal_address,
    number_gpus,
    parse_cpulist,
    parse_pci_path,
)


@pytest.fixture
def dgx2(tmp_path: Path, fixtures: Path) -> HostTopology:
    return read_host(SysTree(tmp_path).load(fixtures / "topology/dgx2h.txt").root)


@pytest.fixture
def h100(tmp_path: Path, fixtures: Path) -> HostTopology:
    return read_host(SysTree(tmp_path).load(fixtures / "topology/h100_vsi.txt").root)


def test_finds_sixteen_gpus_of_a_dgx2_and_none_of_its_switches(dgx2: HostTopology) -> None:
    assert [gpu.address for gpu in dgx2.gpus] == [
        f"0000:{bus}:00.0"
        for bus in ("34", "36", "39", "3b", "57", "59", "5c", "5e", "b7", "b9", "bc", "be", "e0", "e2", "e5", "e7")
    ]
    assert [gpu.node for gpu in dgx2.gpus] == [0] * 8 + [1] * 8
    assert dgx2.nodes == {0: {0, 1}, 1: {24, 25}}


def test_levels_on_a_dgx2_are_those_of_its_switches(dgx2: HostTopology) -> None:
    pairs = gpu_pairs(dgx2)
    first = dgx2.gpus[0].address
    levels = [pairs[first, gpu.address] for gpu in dgx2.gpus[1:]]
    assert levels == ["PIX", "PXB", "PXB", "NODE", "NODE", "NODE", "NODE", *["SYS"] * 8]
    assert len(pairs) == 16 * 15 / 2


def test_each_h100_has_a_network_card_below_its_own_switch(h100: HostTopology) -> None:
    near = [[nic for nic, level in nearest_nics(gpu, h100).items() if level == "PIX"] for gpu in h100.gpus]
    assert near == [["mlx5_7"], ["mlx5_6"], ["mlx5_5"], ["mlx5_4"], ["mlx5_3"], ["mlx5_2"], ["mlx5_1"], ["mlx5_0"]]
    assert nearest_nics(h100.gpus[0], h100)["mlx5_6"] == "NODE"
    assert nearest_nics(h100.gpus[0], h100)["mlx5_0"] == "SYS"


def test_two_devices_below_one_host_bridge_but_different_root_ports_meet_in_it() -> None:
    a = PciDevice("a", ("pci0000:00", "0000:00:01.1", "0000:01:00.0"), 0)
    b = PciDevice("b", ("pci0000:00", "0000:00:03.1", "0000:02:00.0"), 0)
    assert choose_level(a, b, 1) == "PHB"


def test_without_a_numa_node_only_the_path_tells() -> None:
    a, b = PciDevice("a", ("pci0000:00", "x")), PciDevice("b", ("pci0000:80", "y"))
    assert choose_level(a, b, nodes=2) is None
    assert choose_level(a, b, nodes=1) == "NODE"


def test_a_gpu_is_known_by_vendor_and_class() -> None:
    assert is_gpu("0x10de\n", "0x030200\n")
    assert is_gpu("0x1002", "0x120000")
    assert not is_gpu("0x10de", "0x068000"), "an NVSwitch"
    assert not is_gpu("0x1a03", "0x030000"), "the display of a board's management controller"


def test_addresses_of_nvml_and_of_sysfs_are_the_same() -> None:
    assert normal_address("00000000:17:00.0") == "0000:17:00.0"
    assert normal_address("0000:AF:00.0") == "0000:af:00.0"
    assert normal_address("00010000:17:00.0") == "00010000:17:00.0"


def test_gpus_are_numbered_as_the_driver_does_else_by_address(h100: HostTopology) -> None:
    assert number_gpus(h100, {})["0000:a4:00.0"] == "0"
    assert number_gpus(h100, {"0000:a4:00.0": "5"})["0000:a4:00.0"] == "5"


def test_a_gpu_that_the_driver_hides_does_not_take_the_number_of_another(h100: HostTopology) -> None:
    last = h100.gpus[-1].address
    ids = number_gpus(h100, {last: "0"})
    assert ids[last] == "0"
    assert ids["0000:a4:00.0"] == "0000:a4:00.0"


def test_reads_lists_of_cpus() -> None:
    assert parse_cpulist("0-2,8\n") == {0, 1, 2, 8}
    assert parse_cpulist("\n") == frozenset()
    for text in ("a-b", "(null)", "0-4294967295", "0-x"):
        with pytest.raises(SourceError, match="not a list of CPUs"):
            parse_cpulist(text)


def test_reads_the_way_to_a_device_and_skips_what_is_no_pci_device() -> None:
    assert parse_pci_path("../../../devices/pci0000:00/0000:00:03.0/virtio0") == ("pci0000:00", "0000:00:03.0")
    assert parse_pci_path("../../../devices/platform/x") == ()


def test_ranks_are_read_from_titles() -> None:
    assert parse_rank("DP0_PP1_TP3") == {"DP": 0, "PP": 1, "TP": 3}
    assert parse_rank("") == parse_rank("0") == parse_rank("TPx") == {}
    assert step_group("DP0_PP1_TP3") == step_group("DP0_PP1_TP0_EP4") == "DP0_PP1"
    sizes = count_ranks(["DP0_TP0", "DP0_TP1", "DP1_TP0", "DP1_TP1"])
    assert (sizes["tensor"], sizes["data"], sizes["pipeline"]) == (2, 2, 1)


def placed(host: HostTopology, gpu: int, rank: str, cpus: frozenset[int] | None = None) -> RankPlacement:
    return RankPlacement("gpu1:8000", rank, 100 + gpu, host.gpus[gpu], str(gpu), cpus)


def unlinked(*pairs: tuple[int, int]) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(map(str, pair)) for pair in pairs)


def test_a_rank_that_may_not_run_where_its_gpu_is_is_a_mistake(h100: HostTopology) -> None:
    wrong, right = placed(h100, 0, "TP0", frozenset({80, 81})), placed(h100, 1, "TP1", frozenset({79, 80}))
    [found] = find_mistakes([wrong, right], h100, frozenset())
    assert (found.rank, found.gpu_id, found.reason) == ("TP0", "0", "cpus_on_other_node")
    assert found.words == "may run on no CPU of NUMA node 0, where its GPU 0 is"


def test_a_tensor_group_across_sockets_is_a_mistake_without_nvlink_only(h100: HostTopology) -> None:
    group = [placed(h100, 3, "TP0"), placed(h100, 4, "TP1")]
    found = find_mistakes(group, h100, unlinked((3, 4)))
    assert [(one.rank, one.reason) for one in found] == [
        ("TP0", "tensor_group_across_nodes"),
        ("TP1", "tensor_group_across_nodes"),
    ]
    assert find_mistakes(group, h100, unlinked((0, 4), (3, 7))) == []
    assert find_mistakes(group, h100, frozenset()) == [], "the driver was not asked"


def test_pipeline_stages_and_replicas_may_be_on_different_sockets(h100: HostTopology) -> None:
    apart = [placed(h100, 3, "PP0"), placed(h100, 4, "PP1"), placed(h100, 0, "DP0"), placed(h100, 7, "DP1")]
    assert find_mistakes(apart, h100, unlinked((3, 4), (0, 7))) == []


def test_a_gpu_without_a_network_card_on_its_socket_is_a_mistake(h100: HostTopology) -> None:
    far = HostTopology(h100.nodes, h100.gpus, tuple(nic for nic in h100.nics if nic.device.node == 1))
    assert [one.reason for one in find_mistakes([placed(far, 0, "")], far, frozenset())] == ["no_nic_on_node"]
    none = HostTopology(h100.nodes, h100.gpus, ())
    assert find_mistakes([placed(none, 0, "")], none, frozenset()) == []
    unknown = HostTopology(h100.nodes, h100.gpus, (Nic("eth0", PciDevice("0000:01:00.0", ("pci0000:00",))),))
    assert find_mistakes([placed(unknown, 0, "")], unknown, frozenset()) == []

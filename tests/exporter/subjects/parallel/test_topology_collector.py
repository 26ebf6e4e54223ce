"""The collector of topology, on recorded hosts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from tests.exporter.sys_tree import SysTree
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import GpuLink, GpuLinks, Gpus, GpuSight, Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.metrics.family import Family
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.parallel import families as names
from vllm_exporter.subjects.parallel.topology_collector import TopologyCollector

ALLOWED = {200: frozenset(range(160)), 201: frozenset({1, 2})}


def start(sys: Path, clock: FakeClock) -> TopologyCollector:
    return TopologyCollector(Context(Config(), clock, sys=sys), ALLOWED.get)


def show(collector: TopologyCollector, family: Family) -> dict[tuple[str, ...], float]:
    return {one.values: one.value for one in samples(collector.collect()) if one.family is family}


def post_ranks(collector: TopologyCollector, links: int | None = None) -> None:
    """Two tensor ranks, on the GPUs that the driver numbers 3 and 4, at different sockets."""
    addresses = {"3": "00000000:C2:00.0", "4": "00000000:CC:00.0"}
    cards = tuple(
        GpuSight(gpu_id, f"GPU-{gpu_id}", "H100", pci_address=address, pids={197 + int(gpu_id): 1})
        for gpu_id, address in addresses.items()
    )
    processes = {pid: VllmProcess(Ref(pid, 1), "worker", f"TP{pid - 200}", "gpu1:8000", 1, "S") for pid in (200, 201)}
    processes[199] = VllmProcess(Ref(199, 1), "engine_core", "", "gpu1:8000", 1, "S")
    board = collector.context.board
    board.post(Gpus(cards))
    board.post(Trees(processes))
    if links is not None:
        board.post(GpuLinks((GpuLink("4", "3", links > 0, links),)))


@pytest.fixture
def tree(tmp_path: Path, fixtures: Path) -> SysTree:
    return SysTree(tmp_path / "sys").load(fixtures / "topology/h100_vsi.txt")


def test_shows_nodes_gpus_and_how_near_they_are(tree: SysTree, clock: FakeClock) -> None:
    collector = start(tree.root, clock)
    assert show(collector, names.TOPOLOGY_NUMA_NODE_CPUS) == {("0",): 80, ("1",): 80}
    assert show(collector, names.TOPOLOGY_GPU_NUMA_NODE)["4", "0000:cc:00.0"] == 1
    links = show(collector, names.TOPOLOGY_GPU_LINK_INFO)
    assert len(links) == 28
    assert links["0", "1", "NODE"] == links["0", "7", "SYS"] == 1
    assert show(collector, names.TOPOLOGY_GPU_NIC_INFO)["0", "mlx5_7", "PIX"] == 1
    assert show(collector, names.TOPOLOGY_GPU_NVLINKS) == {}, "the driver was not asked"


def test_nvlink_stands_in_place_of_the_way_over_pcie(tree: SysTree, clock: FakeClock) -> None:
    collector = start(tree.root, clock)
    post_ranks(collector, links=18)
    assert show(collector, names.TOPOLOGY_GPU_LINK_INFO)["3", "4", "NV18"] == 1
    assert show(collector, names.TOPOLOGY_GPU_NVLINKS) == {("3", "4"): 18}, "nothing was said of other pairs"


def test_nvlinks_whose_number_is_not_known_are_links(tree: SysTree, clock: FakeClock) -> None:
    collector = start(tree.root, clock)
    post_ranks(collector, links=0)
    collector.context.board.post(GpuLinks((GpuLink("3", "4", True, None),)))
    assert show(collector, names.TOPOLOGY_GPU_LINK_INFO)["3", "4", "NV"] == 1
    assert show(collector, names.TOPOLOGY_GPU_NVLINKS) == {}
    assert show(collector, names.TOPOLOGY_MISTAKES)["gpu1:8000", "tensor_group_across_nodes"] == 0


def test_where_the_firmware_names_no_numa_node_the_driver_tells_how_near_gpus_are(
    tmp_path: Path, clock: FakeClock
) -> None:
    tree = SysTree(tmp_path)
    tree.node(0, "0-1")
    tree.node(1, "2-3")
    for bus in ("17", "c2"):
        tree.device(-1, "0x030200", "0x10de", f"pci0000:{bus}/0000:{bus}:00.0")
    collector = start(tree.root, clock)
    assert show(collector, names.TOPOLOGY_GPU_LINK_INFO) == {}
    collector.context.board.post(GpuLinks((GpuLink("0", "1", False, 0, "SYS"),)))
    assert show(collector, names.TOPOLOGY_GPU_LINK_INFO) == {("0", "1", "SYS"): 1}


def test_shows_which_rank_runs_on_which_gpu(tree: SysTree, clock: FakeClock) -> None:
    collector = start(tree.root, clock)
    post_ranks(collector)
    assert set(show(collector, names.TOPOLOGY_RANK_INFO)) == {
        ("gpu1:8000", "TP0", "3", "0", "", "", ""),
        ("gpu1:8000", "TP1", "4", "1", "", "", ""),
    }


def test_a_mistake_is_a_series_a_count_and_one_event(tree: SysTree, clock: FakeClock) -> None:
    collector = start(tree.root, clock)
    subscription = collector.context.bus.subscribe()
    post_ranks(collector, links=0)
    for _ in range(3):
        assert show(collector, names.TOPOLOGY_MISTAKES) == {
            ("gpu1:8000", "cpus_on_other_node"): 1,
            ("gpu1:8000", "no_nic_on_node"): 0,
            ("gpu1:8000", "tensor_group_across_nodes"): 2,
        }
        clock.advance(5)
    assert set(show(collector, names.TOPOLOGY_MISTAKE_INFO)) == {
        ("gpu1:8000", "TP1", "4", "cpus_on_other_node"),
        ("gpu1:8000", "TP0", "3", "tensor_group_across_nodes"),
        ("gpu1:8000", "TP1", "4", "tensor_group_across_nodes"),
    }
    events = subscription.drain()
    assert len(events) == 3
    assert "rank TP1 of gpu1:8000 may run on no CPU of NUMA node 1, where its GPU 4 is" in {
        event.summary for event in events
    }


def test_a_device_that_goes_is_gone_after_a_minute(tree: SysTree, clock: FakeClock) -> None:
    collector = start(tree.root, clock)
    show(collector, names.TOPOLOGY_GPU_NUMA_NODE)
    (tree.root / "bus/pci/devices/0000:ea:00.0").unlink()
    clock.advance(59)
    assert len(show(collector, names.TOPOLOGY_GPU_NUMA_NODE)) == 8
    clock.advance(1)
    assert len(show(collector, names.TOPOLOGY_GPU_NUMA_NODE)) == 7


def test_counters_of_infiniband_are_read_each_time(tree: SysTree, clock: FakeClock) -> None:
    counters = {
        "port_rcv_data": 1000,
        "port_xmit_data": 5,
        "port_xmit_wait": 7,
        "symbol_error": 1,
        "out_of_sequence": 2,
    }
    tree.infiniband("mlx5_8", "0000:a3:00.0", "400", "1: DOWN", **counters)
    collector = start(tree.root, clock)
    assert show(collector, names.INFINIBAND_RECEIVED_BYTES_TOTAL) == {("mlx5_8", "1"): 4000}
    tree.write("class/infiniband/mlx5_8/ports/1/counters/port_rcv_data", "2000")
    assert show(collector, names.INFINIBAND_RECEIVED_BYTES_TOTAL) == {("mlx5_8", "1"): 8000}
    assert show(collector, names.INFINIBAND_TRANSMITTED_BYTES_TOTAL) == {("mlx5_8", "1"): 20}
    assert show(collector, names.INFINIBAND_TRANSMIT_WAITS_TOTAL) == {("mlx5_8", "1"): 7}
    assert show(collector, names.INFINIBAND_ERRORS_TOTAL) == {
        ("mlx5_8", "1", "symbol_error"): 1,
        ("mlx5_8", "1", "out_of_sequence"): 2,
    }
    active = show(collector, names.INFINIBAND_PORT_ACTIVE)
    assert (active["mlx5_8", "1"], active["mlx5_0", "1"]) == (0, 1)
    assert show(collector, names.INFINIBAND_PORT_RATE_BYTES_PER_SECOND)["mlx5_8", "1"] == 50e9


def test_network_links_of_hardware_only(tree: SysTree, clock: FakeClock) -> None:
    tree.net("eth0", "0000:a3:00.0", "up", "25000")
    tree.net("eth1", "0000:ad:00.0", "down", "-1")
    tree.net("docker0", "", "up", "10000")
    collector = start(tree.root, clock)
    assert show(collector, names.NETWORK_LINK_UP) == {("eth0",): 1, ("eth1",): 0}
    assert show(collector, names.NETWORK_LINK_SPEED_BYTES_PER_SECOND) == {("eth0",): 3.125e9}


def test_without_infiniband_network_devices_are_the_network_cards(tree: SysTree, clock: FakeClock) -> None:
    shutil.rmtree(tree.root / "class/infiniband")
    tree.net("eth0", "0000:a3:00.0", "up", "25000")
    assert show(start(tree.root, clock), names.TOPOLOGY_GPU_NIC_INFO)["0", "eth0", "PIX"] == 1


def test_a_host_without_gpus_shows_its_nodes(tmp_path: Path, clock: FakeClock) -> None:
    tree = SysTree(tmp_path)
    tree.node(0, "0-1")
    tree.write("devices/system/node/node1/cpulist", "")  # memory only
    collector = start(tree.root, clock)
    assert show(collector, names.TOPOLOGY_NUMA_NODE_CPUS) == {("0",): 2}
    post_ranks(collector)
    assert show(collector, names.TOPOLOGY_MISTAKES) == {}


def test_without_sys_there_is_no_data(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(NoData, match="no NUMA node"):
        list(start(tmp_path, clock).collect())

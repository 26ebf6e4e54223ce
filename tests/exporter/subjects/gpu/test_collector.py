"""The collector over a stand-in for the driver's library; nvml/ has the readings themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from tests.exporter.subjects.gpu.stub import Stub
from tests.exporter.sys_tree import SysTree
from tests.patience import wait_for
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import GpuLink, GpuLinks, Gpus, Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.kernel_log import KernelLog
from vllm_exporter.metrics.family import Sample
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.gpu import collector as gpu
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.collector import GpuCollector, GpuOptions
from vllm_exporter.subjects.gpu.nvml import driver as nvml
from vllm_exporter.subjects.gpu.series import join, make_sights
from vllm_exporter.subjects.gpu.source import Card, GpuProcess, GpuSnapshot
from vllm_exporter.subjects.parallel.topology_collector import TopologyCollector

GIB = 1 << 30


@pytest.fixture(autouse=True)
def no_kernel_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """This host's XIDs are none of the tests'."""

    def refuse(self: KernelLog) -> None:
        raise NoData("not in tests")

    monkeypatch.setattr(KernelLog, "__init__", refuse)


class Rig:
    """A collector with its clock. `run` lets a second pass and collects as the exporter does."""

    def __init__(self, library: str, state_dir: str = "", sys: Path = Path("/sys")) -> None:
        self.clock = FakeClock()
        self.context = Context(Config(state_dir=state_dir), self.clock, sys=sys)
        self.collector = GpuCollector(self.context)
        self.collector._options = GpuOptions(library=library)
        self.subscription = self.context.bus.subscribe()

    def run(self, seconds: float = 1.0) -> dict[tuple[str, ...], float]:
        self.clock.advance(seconds)
        return values(samples(self.collector.collect()))


@pytest.fixture
def make_rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []
    monkeypatch.setattr(gpu, "GRACE", 2.0)  # seconds of a busy machine; runs that hang are given their own
    monkeypatch.setattr(nvml, "NvmlSource", partial(nvml.NvmlSource, event_wait=0.02))

    def make(library: str, state_dir: str = "", sys: Path = Path("/sys")) -> Rig:
        made.append(Rig(library, state_dir, sys))
        return made[-1]

    yield make
    for rig in made:
        assert rig.collector._worker.stop(10.0)  # or it would read the stub of the next test
        if rig.collector._source is not None:
            rig.collector._source.release()
            rig.collector._source.read()


MakeRig = Callable[..., Rig]


def values(samples: Iterable[Sample]) -> dict[tuple[str, ...], float]:
    return {(one.family.name.removeprefix("vllm_gpu_"), *one.values): one.value for one in samples}


def process(pid: int, role: str, rank: str = "") -> VllmProcess:
    return VllmProcess(Ref(pid, 1), role, rank, "llama", 1, "S")  # type: ignore[arg-type] # a role of the tests


def test_shows_readings_and_how_they_fare(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub.path)
    found = rig.run()
    assert found["utilization_percent", "1"] == 51
    assert found["power_limit_watts", "1"] == 700
    assert found["driver_hung",] == 0
    assert found["snapshot_age_seconds",] == 0
    assert found["lost", "0", "GPU-00000000"] == 0
    assert found["nvml_errors_total", "nvmlDeviceGetFieldValues(29)", "not_supported"] == 2


def test_without_a_library_there_is_nothing_and_it_says_why(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig(str(tmp_path / "libnvidia-ml.so.1"))
    with pytest.raises(NoData, match="this host has no NVIDIA driver, or this container cannot see it"):
        rig.run()


def test_a_library_that_appears_is_found_within_a_minute(stub: Stub, make_rig: MakeRig, tmp_path: Path) -> None:
    library = tmp_path / "libnvidia-ml.so.1"
    rig = make_rig(str(library))
    with pytest.raises(NoData):
        rig.run()
    library.symlink_to(stub.path)
    with pytest.raises(NoData):
        rig.run(59)
    assert rig.run(1)["utilization_percent", "0"] == 50


def test_a_driver_without_gpus_is_no_data(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 0)
    with pytest.raises(NoData, match="no GPU that this process may use"):
        make_rig(stub.path).run()


def test_a_driver_that_hangs_leaves_the_last_readings_and_their_age(
    stub: Stub, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(stub.path)
    rig.run()
    rig.collector._grace = 0.005
    monkeypatch.setattr(gpu, "GRACE", 0.005)
    stub.hang(True)
    stub.set("utilization", 7)
    try:
        for age in range(1, 5):
            started = time.perf_counter()
            found = rig.run()
            assert time.perf_counter() - started < 0.5
            assert found["utilization_percent", "0"] == 50
            assert found["snapshot_age_seconds",] == age
        assert found["driver_hung",] == 0  # 3 s
        assert rig.run()["driver_hung",] == 1
    finally:
        stub.hang(False)
    wait_for(lambda: rig.run(0.2)["utilization_percent", "0"] == 7)
    found = rig.run()
    assert found["utilization_percent", "0"] == 7
    assert found["driver_hung",] == 0


def test_a_driver_that_hangs_from_the_start_is_said(
    stub: Stub, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "FIRST_GRACE", 0.005)
    rig = make_rig(stub.path)
    stub.hang(True)
    try:
        assert rig.run() == {("driver_hung",): 0}  # not NoData, after which the next look is late
        assert rig.run(4) == {("driver_hung",): 1}
    finally:
        stub.hang(False)


def test_slow_calls_delay_nobody(stub: Stub, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig(stub.path)
    rig.run()
    rig.collector._grace = 0.005
    monkeypatch.setattr(gpu, "GRACE", 0.005)
    stub.fault("nvmlDeviceGetPerformanceState", slow=0.1)
    started = time.perf_counter()
    found = rig.run()
    assert time.perf_counter() - started < 0.09
    assert found["snapshot_age_seconds",] == 1
    assert found["driver_hung",] == 0


def test_a_lost_gpu_is_a_state_and_the_others_go_on(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub.path)
    rig.run()
    stub.fault("*", 15, gpu=0)
    found = rig.run()
    assert found["lost", "0", "GPU-00000000"] == 1
    assert found["lost", "1", "GPU-00000001"] == 0
    assert ("utilization_percent", "0") not in found
    assert found["utilization_percent", "1"] == 51
    fact = rig.context.board.latest(Gpus)
    assert fact is not None
    assert [one.lost for one in fact.gpus] == [False, False]
    rig.run(5)
    fact = rig.context.board.latest(Gpus)
    assert fact is not None
    assert [one.lost for one in fact.gpus] == [True, False]


def test_other_collectors_are_told_of_each_gpu(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub.path)
    rig.run()
    fact = rig.context.board.latest(Gpus)
    assert fact is not None
    (sight,) = fact.gpus
    assert (sight.gpu_id, sight.uuid, sight.name) == ("0", "GPU-00000000", "NVIDIA H100 80GB HBM3")
    assert (sight.utilization, sight.memory_used, sight.memory_total, sight.temperature) == (0.5, GIB, 80 * GIB, 40)
    assert (sight.pci_address, sight.pids) == ("0000:17:00.0", {1000: GIB})


def test_a_hung_driver_tells_other_collectors_nothing(
    stub: Stub, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(stub.path)
    rig.run()
    rig.collector._grace = 0.005
    monkeypatch.setattr(gpu, "GRACE", 0.005)
    stub.hang(True)
    try:
        rig.run(10)
        rig.run(10)
        assert rig.context.board.latest(Gpus) is None
    finally:
        stub.hang(False)


def test_xids_are_counted_and_are_events(stub: Stub, make_rig: MakeRig) -> None:
    rig = make_rig(stub.path)
    rig.run()
    stub.xid(0, 79)
    wait_for(lambda: ("xid_errors_total", "0", "79", "restart_host") in rig.run(0))
    found = rig.run(0)
    assert found["xid_errors_total", "0", "79", "restart_host"] == 1
    assert found["xid_last_seen_timestamp_seconds", "0", "79"] == 1_700_000_001
    (event,) = [event for event in rig.subscription.drain() if event.kind == "xid"]
    assert (event.severity, event.summary) == ("critical", "GPU 0: XID 79, GPU has fallen off the bus")
    assert event.own_fields() == {"gpu_id": "0", "xid": 79, "xid_class": "restart_host"}


def test_a_file_in_the_state_directory_releases_the_driver(stub: Stub, make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig(stub.path, str(tmp_path))
    rig.run()
    assert stub.is_open
    (tmp_path / "gpu.release").touch()
    with pytest.raises(NoData, match="released on request"):
        rig.run()
    assert not stub.is_open
    (tmp_path / "gpu.release").unlink()
    assert rig.run()["utilization_percent", "0"] == 50


def test_processes_are_joined_to_vllm_by_pid(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    stub.set("processes", 2, gpu=1)
    rig = make_rig(stub.path)
    rig.context.board.post(Trees({1000: process(1000, "worker", "TP0"), 1010: process(1010, "worker", "TP1")}))
    found = rig.run()
    assert found["process_memory_bytes", "0", "llama", "worker", "TP0"] == GIB
    assert found["process_memory_bytes", "1", "llama", "worker", "TP1"] == GIB
    assert found["process_memory_bytes", "1", "", "", ""] == 2 * GIB
    assert found["processes", "1", "", "", ""] == 1
    assert found["process_sm_ratio", "0", "llama", "worker", "TP0"] == 0.5


def test_processes_that_are_not_vllms_are_summed() -> None:
    found = values(samples(join([GpuProcess("0", 1, GIB, 0.25), GpuProcess("0", 2, GIB, 0.5)], None)))
    assert found == {
        ("processes", "0", "", "", ""): 2,
        ("process_memory_bytes", "0", "", "", ""): 2 * GIB,
        ("process_sm_ratio", "0", "", "", ""): 0.75,
    }


def test_what_the_driver_does_not_say_of_a_process_is_absent() -> None:
    assert values(samples(join([GpuProcess("0", 1, None, None)], None))) == {("processes", "0", "", "", ""): 1}


def test_what_is_not_known_of_a_gpu_is_none() -> None:
    (sight,) = make_sights(GpuSnapshot(cards=(Card("0:1", "MIG-1", "H100 MIG 1g.10gb", "0000:17:00.0"),)))
    assert (sight.utilization, sight.memory_used, sight.temperature, sight.pids) == (None, None, None, {})


def test_a_lost_gpu_is_not_given_the_numbers_of_the_one_that_has_its_index_now() -> None:
    lost, present = Card("0", "GPU-a", "H100", "", lost=True), Card("0", "GPU-b", "H100", "")
    fast = [names.GPU_UTILIZATION_PERCENT.sample(50, gpu_id="0")]
    assert [one.utilization for one in make_sights(GpuSnapshot(cards=(present, lost), fast=fast))] == [0.5, None]


def test_the_wait_for_the_library_to_be_left_is_not_taken_for_a_call_that_hangs() -> None:
    assert nvml.CLOSE_SECONDS < gpu.DEADLINE


def test_closing_waits_for_nothing(stub: Stub, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "NvmlSource", partial(nvml.NvmlSource, event_wait=1.0))
    rig = make_rig(stub.path)
    rig.run()
    started = time.perf_counter()
    rig.collector.close()
    assert time.perf_counter() - started < 0.9


def test_every_family_is_declared_once() -> None:
    listed = [family.name for family in GpuCollector.metrics]
    assert len(listed) == len(set(listed))
    declared = {value.name for name, value in vars(names).items() if name.startswith("GPU_")}
    assert set(listed) == declared


# Links between GPUs.


def test_other_collectors_are_told_of_links_once(stub: Stub, make_rig: MakeRig) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub.path)
    rig.run()
    fact = rig.context.board.latest(GpuLinks)
    assert fact == GpuLinks((GpuLink("0", "1", True, 18, "SYS"),))
    rig.run(10)
    assert rig.context.board.latest(GpuLinks) is fact
    stub.set("links_up", 12)
    rig.run(10)
    assert rig.context.board.latest(GpuLinks) == GpuLinks((GpuLink("0", "1", True, 12, "SYS"),))


def show_topology(collector: TopologyCollector, ranks: dict[int, str]) -> dict[tuple[str, ...], float]:
    """With tensor ranks of one server, by pid."""
    collector.context.board.post(Trees({pid: process(pid, "worker", rank) for pid, rank in ranks.items()}))
    found = samples(collector.collect())
    return {(one.family.name.removeprefix("vllm_topology_"), *one.values): one.value for one in found}


def test_links_that_the_driver_tells_are_in_the_matrix_and_tell_good_tensor_groups_from_bad(
    stub: Stub, make_rig: MakeRig, tmp_path: Path, fixtures: Path
) -> None:
    """Four GPUs at each of two sockets, linked in pairs."""
    tree = SysTree(tmp_path).load(fixtures / "topology/h100_vsi.txt")
    stub.set("gpus", 8)
    stub.set("nvlink", 1)
    stub.set("field.91", 4)
    for number, bus in enumerate((0xA4, 0xAE, 0xB8, 0xC2, 0xCC, 0xD6, 0xE0, 0xEA)):
        stub.set("bus", bus, gpu=number)
        stub.set("pid", 500 + number, gpu=number)
    rig = make_rig(stub.path, sys=tree.root)
    rig.run()
    topology = TopologyCollector(rig.context, lambda pid: None)
    found = show_topology(topology, {502: "TP0", 503: "TP1"})
    links = {key[1:]: value for key, value in found.items() if key[0] == "gpu_nvlinks"}
    assert {pair for pair, count in links.items() if count == 4} == {("0", "1"), ("2", "3"), ("4", "5"), ("6", "7")}
    assert sorted(links.values()) == [0] * 24 + [4] * 4
    matrix = {key[1:] for key in found if key[0] == "gpu_link_info"}
    assert {("2", "3", "NV4"), ("0", "2", "NODE"), ("3", "4", "SYS")} <= matrix
    assert len(matrix) == 28
    assert found["mistakes", "llama", "tensor_group_across_nodes"] == 0
    found = show_topology(topology, {503: "TP0", 504: "TP1"})
    assert found["mistakes", "llama", "tensor_group_across_nodes"] == 2


@pytest.mark.parametrize(("codes", "link"), [((), "NV18"), ((3, 13), "SYS")])
def test_a_tensor_group_across_sockets_is_well_by_switches_and_where_the_driver_says_nothing(
    stub: Stub, make_rig: MakeRig, tmp_path: Path, fixtures: Path, codes: tuple[int, ...], link: str
) -> None:
    tree = SysTree(tmp_path).load(fixtures / "topology/h100_vsi.txt")
    stub.set("gpus", 2)
    stub.set("bus", 0xC2, gpu=0)
    stub.set("bus", 0xCC, gpu=1)
    for function, code in zip(("nvmlDeviceGetP2PStatus", "nvmlDeviceGetNvLinkState"), codes, strict=False):
        stub.fault(function, code)
    rig = make_rig(stub.path, sys=tree.root)
    rig.run()
    found = show_topology(TopologyCollector(rig.context, lambda pid: None), {1000: "TP0", 1010: "TP1"})
    assert found["gpu_link_info", "0", "1", link] == 1
    assert found.get(("gpu_nvlinks", "0", "1")) == (None if codes else 18)
    assert found["mistakes", "llama", "tensor_group_across_nodes"] == 0


def test_gpus_of_which_none_answers_are_there_and_said_once(
    stub: Stub, make_rig: MakeRig, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.set("gpus", 2)
    rig = make_rig(stub.path)
    rig.run()
    stub.fault("*", 999)
    for _ in range(3):
        found = rig.run(5)
        assert (found["lost", "0", "GPU-00000000"], found["lost", "1", "GPU-00000001"]) == (1, 1)
        assert not [key for key in found if key[0] == "utilization_percent"]
    fact = rig.context.board.latest(Gpus)
    assert fact is not None
    assert [one.lost for one in fact.gpus] == [True, True]
    assert capsys.readouterr().err.count('msg="no GPU answers" gpus=2') == 1

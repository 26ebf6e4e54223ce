from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.host.cgroups_collector import CgroupsCollector


def context(fixtures: Path, clock: FakeClock, host: str = "gpu-server") -> Context:
    root = fixtures / "hosts" / host
    return Context(Config(), clock, root / "proc", root / "sys")


def process(pid: int, server: str, main: bool = True) -> VllmProcess:
    return VllmProcess(Ref(pid, 1), "api_server", "", server, 1, "S", main=main)


def limits(collector: CgroupsCollector) -> dict[str, float]:
    """The memory limit by server."""
    found = samples(collector.collect())
    return {one.values[0]: one.value for one in found if one.family.name == "vllm_cgroup_memory_limit_bytes"}


def test_without_servers_the_exporters_own_limit_is_there(fixtures: Path, clock: FakeClock) -> None:
    assert limits(CgroupsCollector(context(fixtures, clock))) == {"": 134217728}


def test_finds_the_cgroup_of_each_server_by_its_main_process(fixtures: Path, clock: FakeClock) -> None:
    where = context(fixtures, clock)
    where.board.post(Trees({4242: process(4242, "gpu1:8000"), 4300: process(4300, "gpu1:8000", main=False)}))
    assert limits(CgroupsCollector(where)) == {"": 134217728, "gpu1:8000": 137438953472}


def test_follows_servers_that_come_and_go(fixtures: Path, clock: FakeClock) -> None:
    where = context(fixtures, clock)
    collector = CgroupsCollector(where)
    where.board.post(Trees({4242: process(4242, "gpu1:8000")}))
    assert "gpu1:8000" in limits(collector)
    where.board.post(Trees({}))
    assert set(limits(collector)) == {""}


@pytest.mark.parametrize("lost", [process(4242, ""), process(4242, "a:1", main=False), process(99999, "gone:1")])
def test_leaves_out_the_orphaned_the_gone_and_what_belongs_to_no_server(
    fixtures: Path, clock: FakeClock, lost: VllmProcess
) -> None:
    where = context(fixtures, clock)
    where.board.post(Trees({lost.ref.pid: lost}))
    assert set(limits(CgroupsCollector(where))) == {""}


@pytest.mark.parametrize(
    ("file", "content", "missing"),
    [
        ("pids.current", "many", "processes"),
        ("cpu.max", "50000 0", "cpu_quota_cpus"),
        ("cpu.max", "much 100000", "cpu_quota_cpus"),
        ("memory.pressure", "other", "pressure_seconds_total"),
        ("memory.stat", "inactive_file", "memory_limit_bytes"),
        ("memory.current", "9" * 5000, "memory_used_bytes"),
    ],
)
def test_a_file_that_cannot_be_used_costs_its_own_part_only(
    tmp_path: Path, clock: FakeClock, file: str, content: str, missing: str
) -> None:
    own = tmp_path / "sys/fs/cgroup/vllm"
    own.mkdir(parents=True)
    (own.parent / "cgroup.controllers").write_text("cpu memory pids\n")
    texts = {
        "memory.max": "1000\n",
        "memory.current": "10\n",
        "memory.stat": "inactive_file 1\n",
        "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
        "cpu.max": "50000 100000\n",
        "pids.current": "3\n",
    }
    for name, text in texts.items():
        (own / name).write_text(text)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/vllm\n")
    collector = CgroupsCollector(Context(Config(), clock, tmp_path, tmp_path / "sys"))
    shown = {"memory_limit_bytes", "memory_used_bytes", "cpu_quota_cpus", "pressure_seconds_total", "processes"}
    assert {one.family.name.removeprefix("vllm_cgroup_") for one in samples(collector.collect())} >= shown
    (own / file).write_text(content)
    left = {one.family.name.removeprefix("vllm_cgroup_") for one in samples(collector.collect())}
    together = {"memory_limit_bytes", "memory_used_bytes"} if missing.startswith("memory") else {missing}
    assert shown - left == together


def test_leaves_out_what_is_outside_the_mount_it_sees(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/../../other.scope\n")
    root = fixtures / "hosts/gpu-server/sys"
    with pytest.raises(NoData, match="neither a vLLM server's cgroup nor the exporter's own can be seen"):
        list(CgroupsCollector(Context(Config(), clock, tmp_path, root)).collect())


def test_has_no_data_on_a_host_with_cgroup_v1(fixtures: Path, clock: FakeClock) -> None:
    with pytest.raises(NoData, match=r"no cgroup v2 is mounted at .*/sys/fs/cgroup"):
        list(CgroupsCollector(context(fixtures, clock, "linux-5.4")).collect())

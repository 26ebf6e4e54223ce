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


def test_leaves_out_what_is_outside_the_mount_it_sees(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/../../other.scope\n")
    root = fixtures / "hosts/gpu-server/sys"
    with pytest.raises(NoData, match="neither a vLLM server's cgroup nor the exporter's own can be seen"):
        list(CgroupsCollector(Context(Config(), clock, tmp_path, root)).collect())


def test_has_no_data_on_a_host_with_cgroup_v1(fixtures: Path, clock: FakeClock) -> None:
    with pytest.raises(NoData, match=r"no cgroup v2 is mounted at .*/sys/fs/cgroup"):
        list(CgroupsCollector(context(fixtures, clock, "linux-5.4")).collect())

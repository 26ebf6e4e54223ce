from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.errors import NoData
from vllm_exporter.subjects.host.cgroups import Cgroup, count_cpus, parse_limit, parse_path, parse_quota

POD = "/kubepods.slice/kubepods-pod1.slice"


@pytest.fixture
def root(fixtures: Path) -> Path:
    return fixtures / "hosts/gpu-server/sys/fs/cgroup"


def values(root: Path, path: str) -> dict[str, float]:
    rows = Cgroup("gpu1:8000", root, path).rows()
    return {
        " ".join([family.name.removeprefix("vllm_cgroup_"), *labels[1:]]): value for (family, labels), value in rows
    }


def test_the_lowest_limit_on_the_way_up_counts_and_the_use_is_of_the_same_cgroup(root: Path) -> None:
    found = values(root, f"{POD}/cri-containerd-abc.scope")
    assert found["memory_limit_bytes"] == 137438953472  # of the pod; the container's own is twice that
    assert found["memory_used_bytes"] == 100000000000
    assert found["memory_working_set_bytes"] == 70000000000
    assert found["cpu_quota_cpus"] == 16
    assert found["cpu_periods_total"] == 5000
    assert found["cpu_throttled_periods_total"] == 123
    assert found["cpu_throttled_seconds_total"] == 4.56
    assert found["processes_limit"] == 4194304
    assert found["processes"] == 401


def test_events_pressure_and_time_are_of_the_container_itself(root: Path) -> None:
    found = values(root, f"{POD}/cri-containerd-abc.scope")
    assert found["cpu_seconds_total"] == 70.5
    assert found["cpus"] == 56
    assert found["swap_used_bytes"] == 8192
    assert {name: value for name, value in found.items() if "events" in name} == {
        "memory_events_total high": 4,
        "memory_events_total max": 17,
        "memory_events_total oom": 3,
        "memory_events_total oom_kill": 2,
    }
    assert found["pressure_seconds_total cpu some"] == 1.5
    assert found["pressure_seconds_total memory full"] == 0.125
    assert "pressure_seconds_total io some" not in found


def test_without_a_limit_there_is_no_limit_and_no_throttling(root: Path) -> None:
    found = values(root, "/system.slice/vllm.service")
    assert found["memory_used_bytes"] == 5000000000
    assert found["cpu_seconds_total"] == 1.25
    assert found["cpus"] == 224  # of the root: the cgroup has no cpuset of its own
    assert not {"memory_limit_bytes", "cpu_quota_cpus", "cpu_throttled_periods_total"} & set(found)


def test_the_root_of_the_host_has_only_cpu(root: Path) -> None:
    assert values(root, "/") == {"cpu_seconds_total": 99, "cpus": 224}


def test_a_cgroup_that_is_gone_has_nothing_of_its_own(root: Path) -> None:
    with pytest.raises(NoData, match=r"gone\.scope does not exist"):
        values(root / "kubepods.slice", "/gone.scope")


def test_a_strange_number_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("plenty\n")
    with pytest.raises(ValueError, match="plenty"):
        list(Cgroup("", tmp_path, "/").rows())


def test_finds_the_path_of_cgroup_v2_among_those_of_v1() -> None:
    assert parse_path(b"12:memory:/a\n1:name=systemd:/b\n0::/system.slice/x.service\n") == "/system.slice/x.service"
    assert parse_path(b"12:memory:/a\n") is None


@pytest.mark.parametrize(("text", "limit"), [(b"max\n", None), (b"", None), (b"4096\n", 4096)])
def test_reads_a_limit(text: bytes, limit: float | None) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "cpus"), [(b"max 100000\n", None), (b"250000 100000\n", 2.5), (b"", None), (b"5 0\n", None)]
)
def test_reads_a_quota(text: bytes, cpus: float | None) -> None:
    assert parse_quota(text) == cpus


@pytest.mark.parametrize(("text", "count"), [(b"0", 1), (b"0-3", 4), (b"0-27,112-139", 56), (b"1,3,5", 3)])
def test_counts_cpus(text: bytes, count: int) -> None:
    assert count_cpus(text) == count

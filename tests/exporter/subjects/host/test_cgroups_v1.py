"""Limits on hosts with cgroup v1 (H07): a hierarchy for each controller."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from tests.exporter.subjects.host.test_cgroups_collector import process
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import Trees
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.host.cgroups_collector import CgroupsCollector
from vllm_exporter.subjects.host.cgroups_v1 import CgroupV1, parse_paths

UNLIMITED = 9223372036854771712
POD = "/kubepods/burstable/pod1"
OWN = f"{POD}/abc"
LINES = f"""12:pids:{OWN}
11:memory:{OWN}
5:cpu,cpuacct:{OWN}
3:cpuset:{OWN}
1:name=systemd:{OWN}
0::/system.slice/containerd.service
"""


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A pod whose limit is below that of its container, as it was read on a node of RHEL 8; numbers are made round."""
    made = tmp_path / "sys/fs/cgroup"
    statistics = "cache 9\ntotal_swap 8192\ntotal_inactive_file {}\nhierarchical_memory_limit 8000"
    write(made / "memory", memory__limit_in_bytes=UNLIMITED)
    write(made / f"memory{POD}", memory__limit_in_bytes=8000, memory__usage_in_bytes=5000)
    write(made / f"memory{POD}", memory__stat=statistics.format(1500))
    write(made / f"memory{OWN}", memory__limit_in_bytes=16000, memory__usage_in_bytes=4000, memory__failcnt=17)
    write(made / f"memory{OWN}", memory__stat=statistics.format(1000), memory__oom_control="under_oom 0\noom_kill 2")
    write(made / f"cpu{POD}", cpu__cfs_quota_us=1600000, cpu__cfs_period_us=100000)
    write(made / f"cpu{POD}", cpu__stat="nr_periods 5000\nnr_throttled 123\nthrottled_time 4560000000")
    write(made / f"cpu{OWN}", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    write(made / f"cpuacct{OWN}", cpuacct__usage=70500000000)
    write(made / f"cpuset{OWN}", cpuset__cpus="0-55", cpuset__effective_cpus="0-54,56")
    write(made / f"pids{OWN}", pids__max="max", pids__current=401)
    return made


def values(root: Path, text: str) -> dict[str, float]:
    rows = CgroupV1("gpu1:8000", root, parse_paths(text.encode())).rows()
    return {
        " ".join([family.name.removeprefix("vllm_cgroup_"), *labels[1:]]): value for (family, labels), value in rows
    }


def test_reads_limits_and_use_of_every_controller(root: Path) -> None:
    assert values(root, LINES) == {
        "memory_limit_bytes": 8000,  # of the pod, and the use of the same
        "memory_used_bytes": 5000,
        "memory_working_set_bytes": 3500,
        "memory_events_total max": 17,
        "memory_events_total oom_kill": 2,
        "swap_used_bytes": 8192,
        "cpu_quota_cpus": 16,
        "cpu_seconds_total": 70.5,
        "cpu_periods_total": 5000,
        "cpu_throttled_periods_total": 123,
        "cpu_throttled_seconds_total": 4.56,
        "cpus": 56,
        "processes": 401,
    }


def test_only_the_memory_controller_is_enough(root: Path) -> None:
    """vllm-project/vllm#45086."""
    found = values(root, f"4:memory:{OWN}\n")
    assert (found["memory_limit_bytes"], found["memory_used_bytes"]) == (8000, 5000)
    assert not [name for name in found if name.startswith(("cpu", "processes"))]


def test_a_limit_above_what_can_be_seen_counts(root: Path) -> None:
    write(root / "memory/x", memory__limit_in_bytes=UNLIMITED, memory__usage_in_bytes=7)
    write(root / "memory/x", memory__stat="hierarchical_memory_limit 900")
    assert values(root, "4:memory:/x\n")["memory_limit_bytes"] == 900


def test_the_kernels_largest_number_is_no_limit(root: Path) -> None:
    write(root / "memory/free", memory__limit_in_bytes=UNLIMITED, memory__usage_in_bytes=7)
    write(root / "memory/free", memory__stat=f"hierarchical_memory_limit {UNLIMITED}")
    assert values(root, "4:memory:/free\n") == {"memory_used_bytes": 7}


def test_a_cgroup_that_is_gone_has_nothing(root: Path) -> None:
    with pytest.raises(NoData, match="do not exist"):
        values(root, "4:memory:/gone\n".replace("memory", "pids"))


def test_each_server_has_its_limit_and_the_exporter_its_own(root: Path, tmp_path: Path, clock: FakeClock) -> None:
    proc = tmp_path / "proc"
    write(proc / "4242", cgroup=LINES)
    write(proc / "self", cgroup="4:memory:/docker/0123\n")  # the container's own is mounted in the root's place
    write(root / "memory", memory__limit_in_bytes=134217728, memory__usage_in_bytes=1)
    where = Context(Config(), clock, proc, tmp_path / "sys")
    where.board.post(Trees({4242: process(4242, "gpu1:8000")}))
    found = samples(CgroupsCollector(where).collect())
    limits = {one.values[0]: one.value for one in found if one.family.name == "vllm_cgroup_memory_limit_bytes"}
    assert limits == {"": 134217728, "gpu1:8000": 8000}

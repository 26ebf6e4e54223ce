"""Containers, units and OOM kills by control groups. The paths are as the engines and systemd make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.subjects.processes.cgroup import (
    CREDIT,
    CgroupPlace,
    OomKills,
    parse_cgroup,
    parse_oom_kills,
    read_place,
)

ID = "4f2ab1c09de87766554433221100ffeeddccbbaa99887766554433221100abcd"
OTHER = "0123456789abcdef" * 4
POD = "pod0a1b2c3d_1111_2222_3333_444455556666"


@pytest.mark.parametrize(
    "path",
    [
        f"/system.slice/docker-{ID}.scope",
        f"/docker/{ID}",
        f"/../{ID}",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD}.slice/cri-containerd-{ID}.scope",
        f"/kubepods.slice/kubepods-{POD}.slice/crio-{ID}.scope",
        f"/kubepods/besteffort/{POD}/{ID}",
        f"/system.slice/containerd.service/kubepods-burstable-{POD}.slice:cri-containerd:{ID}",
        f"/machine.slice/libpod-{ID}.scope/container",
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
        f"/ecs/0a1b2c3d4e5f60718293a4b5c6d7e8f9/{ID}",
        f"/docker/{OTHER}/kubelet/kubepods/besteffort/{POD}/{ID}",
    ],
)
def test_knows_the_container(path: str) -> None:
    assert parse_cgroup(f"0::{path}\n".encode()).container == ID
    assert parse_cgroup(f"12:memory:{path}\n1:name=systemd:{path}\n0::/\n".encode()).container == ID


@pytest.mark.parametrize("path", ["/", "/user.slice/user-0.slice/session-1.scope", f"/docker/{ID[:63]}", f"/a{ID}"])
def test_takes_nothing_else_for_a_container(path: str) -> None:
    assert parse_cgroup(f"0::{path}\n".encode()).container == ""


def test_knows_the_service_of_systemd() -> None:
    assert parse_cgroup(b"0::/system.slice/vllm.service\n").unit == "vllm.service"
    assert parse_cgroup(b"0::/system.slice/system-vllm.slice/vllm@1.service/payload\n").unit == "vllm@1.service"
    assert parse_cgroup(b"0::/user.slice/user-7.slice/user@7.service/app.slice/vllm.service\n").unit == ""
    assert parse_cgroup(f"0::/system.slice/docker.service/docker/{ID}\n".encode()).unit == ""


def test_knows_the_file_that_counts_oom_kills() -> None:
    assert parse_cgroup(b"0::/system.slice/vllm.service\n").oom == "system.slice/vllm.service/memory.events"
    assert parse_cgroup(b"4:memory:/docker/x\n0::/\n").oom == "memory/docker/x/memory.oom_control"
    assert parse_cgroup(b"0::/\n").oom == ""
    assert parse_cgroup(b"4:memory:/\n").oom == ""


def test_nonsense_and_a_missing_file_are_no_place(tmp_path: Path) -> None:
    assert parse_cgroup(b"") == CgroupPlace()
    assert parse_cgroup(b"\xff\xfe no colon\n") == CgroupPlace()
    assert read_place(tmp_path, 42) == CgroupPlace()


def test_reads_the_count_of_both_versions_and_of_the_host() -> None:
    assert parse_oom_kills(b"low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n") == 2
    assert parse_oom_kills(b"oom_kill_disable 0\nunder_oom 0\noom_kill 5\n") == 5
    assert parse_oom_kills(b"oom_kill_disable 0\nunder_oom 0\n") is None
    assert parse_oom_kills(b"") is None


def kills(root: Path, count: int) -> None:
    (root / "fs/cgroup/a").mkdir(parents=True, exist_ok=True)
    (root / "fs/cgroup/a/memory.events").write_text(f"oom 9\noom_kill {count}\n")


def test_a_kill_explains_one_end_once(tmp_path: Path) -> None:
    place = CgroupPlace(oom="a/memory.events")
    kills(tmp_path, 4)
    oom = OomKills(tmp_path, tmp_path)
    oom.follow({place}, 100)
    assert not oom.claim(place, 101)
    kills(tmp_path, 5)
    assert oom.claim(place, 102)
    assert not oom.claim(place, 103)


def test_a_kill_is_remembered_for_the_time_that_an_end_may_take(tmp_path: Path) -> None:
    place = CgroupPlace(oom="a/memory.events")
    kills(tmp_path, 0)
    oom = OomKills(tmp_path, tmp_path)
    oom.follow({place}, 100)
    kills(tmp_path, 2)
    oom.follow({place}, 110)
    assert oom.claim(place, 110 + CREDIT - 1)
    assert not oom.claim(place, 110 + CREDIT + 1)


def test_without_a_group_of_its_own_the_hosts_count_decides(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 1\n")
    oom = OomKills(tmp_path, tmp_path / "sys")
    oom.follow({CgroupPlace(), CgroupPlace(oom="gone/memory.events")}, 100)
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 2\n")
    assert oom.claim(CgroupPlace(), 101)
    assert not oom.claim(CgroupPlace(), 101)


def test_where_nothing_is_counted_nothing_is_claimed(tmp_path: Path) -> None:
    oom = OomKills(tmp_path, tmp_path)
    oom.follow({CgroupPlace()}, 100)
    assert not oom.claim(CgroupPlace(), 101)

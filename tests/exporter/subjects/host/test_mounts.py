from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.subjects.host.mounts import LIMIT, Mount, choose, parse_mountinfo, read_space


def mount(point: str, fstype: str = "ext4", device: str = "8:1") -> Mount:
    return Mount(point, fstype, device, read_only=False)


def points(*mounts: Mount) -> list[str]:
    return [one.point for one in choose(mounts).asked]


def test_reads_a_line_with_and_without_optional_fields() -> None:
    text = (
        b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
        b"25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684084k\n"
    )
    assert parse_mountinfo(text) == [Mount("/mnt2", "ext3", "98:0", False), Mount("/dev/shm", "tmpfs", "0:23", False)]


@pytest.mark.parametrize("options", [b"ro,noatime - ext4 /dev/sda1 rw", b"rw,noatime - ext4 /dev/sda1 ro,errors=x"])
def test_read_only_by_the_mount_or_by_the_file_system(options: bytes) -> None:
    assert parse_mountinfo(b"36 35 8:1 / /data " + options)[0].read_only


def test_a_blank_in_a_mount_point_is_read() -> None:
    assert parse_mountinfo(b"36 35 8:1 / /my\\040data rw - ext4 /dev/sda1 rw")[0].point == "/my data"


@pytest.mark.parametrize("line", [b"surprise", b"", b"30 25 0:30 / /tmp rw - tmpfs tmpfs", b"30 25 0:30 / /tmp rw"])
def test_a_line_that_is_no_mount_costs_no_other(line: bytes) -> None:
    root = b"25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    assert [mount.point for mount in parse_mountinfo(root + line + b"\n" + root)] == ["/", "/"]


def test_a_file_system_without_a_device_is_read() -> None:
    assert parse_mountinfo(b"30 25 0:30 / /tmp rw - tmpfs  rw\n")[0].fstype == "tmpfs"


@pytest.mark.parametrize("line", [b"surprise", b"1 2 3 - ext4", b"36 35 8:1 / /data rw ext4 /dev/sda1 rw"])
def test_refuses_a_line_that_is_no_mount(line: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        parse_mountinfo(line)


@pytest.mark.parametrize("fstype", ["nfs4", "cifs", "ceph", "lustre", "9p", "virtiofs", "fuse.sshfs"])
def test_never_asks_a_file_system_with_a_server(fstype: str) -> None:
    choice = choose([mount("/"), mount("/models", fstype, "0:50")])
    assert [one.point for one in choice.asked] == ["/"]
    assert choice.remote == 1


def test_never_asks_a_type_it_does_not_know() -> None:
    assert points(mount("/new", "newfs")) == []


def test_shows_a_file_system_once_where_its_path_is_shortest() -> None:
    assert points(mount("/etc/hosts"), mount("/"), mount("/data", device="8:2")) == ["/", "/data"]


def test_of_two_mounts_at_one_point_the_later_one_is_seen() -> None:
    assert points(mount("/data", "ext4", "8:1"), mount("/data", "nfs", "0:9")) == []


@pytest.mark.parametrize(
    "point", ["/proc", "/sys/fs/cgroup", "/run/user/0", "/dev", "/var/lib/docker/overlay2/a/merged", "/snap/core/1"]
)
def test_leaves_out_what_belongs_to_the_system(point: str) -> None:
    assert points(mount(point, "tmpfs")) == []


@pytest.mark.parametrize("point", ["/dev/shm", "/var/lib/docker", "/running", "/tmp"])
def test_keeps_what_looks_alike(point: str) -> None:
    assert points(mount(point, "tmpfs")) == [point]


def test_says_how_many_are_too_many() -> None:
    choice = choose([mount(f"/data{number:02}", device=f"8:{number}") for number in range(LIMIT + 3)])
    assert len(choice.asked) == LIMIT
    assert choice.over_limit == 3


def test_reads_the_space_of_a_directory(tmp_path: Path) -> None:
    space = read_space(str(tmp_path))
    assert space is not None
    assert 0 < space.free <= space.size


def test_what_is_not_there_has_no_space(tmp_path: Path) -> None:
    assert read_space(str(tmp_path / "none")) is None

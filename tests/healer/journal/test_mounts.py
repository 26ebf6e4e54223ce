from __future__ import annotations

from pathlib import Path

import pytest

from vllm_healer.errors import JournalError
from vllm_healer.journal.mounts import Mount, choose_mount, parse_mounts, require_local

# From proc_pid_mountinfo(5) and a machine with NFS, a USB disk with a blank in its name, and sshfs.
MOUNTINFO = r"""21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /run rw,nosuid shared:2 master:3 - tmpfs tmpfs rw,size=1g
40 21 0:50 / /home rw,relatime shared:9 - nfs4 filer:/home rw,vers=4.2
41 21 8:17 / /media/My\040Disk rw - fuseblk /dev/sdb1 rw
42 40 0:60 / /home/alice/cluster rw - fuse.sshfs alice@cluster:/ rw
43 21 0:61 / /data rw - ext4 /dev/sdc1 rw
44 43 0:62 / /data rw - cifs //nas/data rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/healer/journal.sqlite", "ext4"),
        ("/run/healer/journal.sqlite", "tmpfs"),
        ("/home/bob/journal.sqlite", "nfs4"),
        ("/home/alice/cluster/journal.sqlite", "fuse.sshfs"),
        ("/homestead/journal.sqlite", "ext4"),
        ("/media/My Disk/journal.sqlite", "fuseblk"),
        ("/data/journal.sqlite", "cifs"),  # mounted over the ext4
    ],
)
def test_finds_the_mount_that_a_path_lies_on(path: str, kind: str) -> None:
    mount = choose_mount(Path(path), parse_mounts(MOUNTINFO))
    assert mount is not None
    assert mount.kind == kind


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse", "fuse.sshfs", "fuse.gcsfuse", "ceph", "lustre"]
)
def test_refuses_network_file_systems(tmp_path: Path, kind: str) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"21 1 0:1 / / rw - {kind} source rw\n")
    with pytest.raises(JournalError, match=f"network file system \\({kind} at /\\)"):
        require_local(Path("/journal.sqlite"), mountinfo)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs", "fuseblk", "f2fs"])
def test_takes_local_file_systems(tmp_path: Path, kind: str) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"21 1 0:1 / / rw - {kind} source rw\n")
    require_local(Path("/journal.sqlite"), mountinfo)


def test_follows_a_link_to_where_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "filer").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "filer")
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"21 1 0:1 / / rw - ext4 disk rw\n22 21 0:2 / {tmp_path}/filer rw - nfs filer:/ rw\n")
    with pytest.raises(JournalError):
        require_local(tmp_path / "link" / "journal.sqlite", mountinfo)


def test_refuses_nothing_where_mounts_cannot_be_read(tmp_path: Path) -> None:
    require_local(Path("/journal.sqlite"), tmp_path / "absent")


def test_lines_that_it_does_not_understand_are_left_out() -> None:
    assert parse_mounts("\nnonsense\n21 1 8:1 / / rw shared:1 ext4 without a dash\n") == ()
    assert parse_mounts("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n") == (Mount(Path("/"), "ext4"),)

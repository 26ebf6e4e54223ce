"""Finds the file systems, and those that may be asked for their space. Pure except `read_space`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

# Only these are asked: statvfs on a file system whose server is gone hangs for ever, and a type not named here may
# have a server. Those without a size of their own (proc, sysfs, squashfs: always full) are of no interest.
LOCAL = "bcachefs btrfs exfat ext2 ext3 ext4 f2fs jfs nilfs2 ntfs3 overlay reiserfs tmpfs ubifs vfat xfs zfs"
REMOTE = "9p afs beegfs ceph cifs gfs2 glusterfs gpfs lustre nfs nfs4 ocfs2 smb3 virtiofs wekafs"
HIDDEN = re.compile(  # of the system and of container runtimes, a mount or more for each container
    r"/(proc|sys|run|boot/efi|dev(?!/shm$)|snap|var/snap"
    r"|var/lib/(docker|containerd|containers|kubelet|rancher|lxcfs|snapd)/.+)(/|$)"
)
LIMIT = 32  # file systems; those with the shortest mount points

OCTAL = re.compile(rb"\\([0-7]{3})")  # how a blank, a tab, a newline and a backslash are written in mountinfo


@dataclass(frozen=True)
class Mount:
    """A line of /proc/self/mountinfo, see proc_pid_mountinfo(5)."""

    point: str
    fstype: str
    device: str  # major:minor; the same for all mounts of one file system
    read_only: bool


@dataclass(frozen=True)
class Choice:
    """The file systems to ask, by mount point, and how many are not asked, by reason."""

    asked: tuple[Mount, ...]
    remote: int
    over_limit: int


@dataclass(frozen=True)
class Space:
    """Sizes in bytes, and numbers of files; `files` is 0 where there is no limit."""

    size: int
    free: int
    files: int
    files_free: int


def parse_mountinfo(data: bytes) -> list[Mount]:
    """Parses mountinfo; a line that is none costs its own mount. Raises ValueError or LookupError when all are none."""
    found: list[Mount] = []
    failure: Exception | None = None
    for line in filter(None, data.splitlines()):
        try:
            found.append(_parse_line(line))
        except (ValueError, LookupError) as error:
            failure = error
    if failure is not None and not found:
        raise failure
    return found


def _parse_line(line: bytes) -> Mount:
    before, _, after = line.partition(b" - ")
    fields, (fstype, _, options) = before.split(b" "), after.split(b" ", 2)
    point = OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields[4]).decode(errors="replace")
    read_only = b"ro" in fields[5].split(b",") or b"ro" in options.split(b",")
    return Mount(point, fstype.decode(), fields[2].decode(), read_only)


def choose(mounts: Iterable[Mount]) -> Choice:
    """Chooses one mount per file system: bind mounts show it again. Of two at one point the later one is visible."""
    seen: dict[str, Mount] = {mount.point: mount for mount in mounts}
    shown = [mount for mount in seen.values() if not HIDDEN.match(mount.point)]
    remote = {mount.device for mount in shown if mount.fstype in REMOTE.split() or mount.fstype.startswith("fuse.")}
    local: dict[str, Mount] = {}
    for mount in sorted(
        (one for one in shown if one.fstype in LOCAL.split()), key=lambda one: (len(one.point), one.point)
    ):
        local.setdefault(mount.device, mount)
    asked = tuple(local.values())
    return Choice(asked[:LIMIT], len(remote), len(asked[LIMIT:]))


def read_space(path: str) -> Space | None:
    """Returns None when the path is not there, or we may not look at it."""
    try:
        answer = os.statvfs(path)
    except OSError:
        return None
    size, free = answer.f_blocks * answer.f_frsize, answer.f_bavail * answer.f_frsize
    return Space(size, free, answer.f_files, answer.f_favail)

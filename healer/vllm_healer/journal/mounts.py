"""Tells on which file system a path lies, by /proc/self/mountinfo: SQLite's WAL and flock need a local one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vllm_healer.errors import JournalError

MOUNTINFO = Path("/proc/self/mountinfo")

# Locks or shared memory do not reach every machine (or the host behind a virtual machine) that can write the file.
# https://www.sqlite.org/wal.html: "all processes using a database must be on the same host computer".
NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|9p|virtiofs|afs|ceph|glusterfs|lustre|gpfs|beegfs|pvfs2|orangefs|ocfs2|gfs2|coda|ncpfs|vboxsf|fuse|fuse\..+"
)


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo (proc_pid_mountinfo(5))."""

    point: Path
    kind: str  # file system type, such as ext4 or fuse.sshfs


def require_local(path: Path, mountinfo: Path = MOUNTINFO) -> None:
    """Raises JournalError when `path` is on a network file system. Where mounts cannot be read, nothing is refused."""
    try:
        mounts = parse_mounts(mountinfo.read_text(errors="surrogateescape"))
    except OSError:
        return  # no /proc: then there are no mounts to judge by, and flock still keeps a second healer out
    mount = choose_mount(path.resolve(), mounts)
    if mount is not None and NETWORK.fullmatch(mount.kind):
        raise JournalError(
            f"{path} is on a network file system ({mount.kind} at {mount.point}), where a crash can lose what was "
            "acknowledged and two healers can act at once; give --journal a path on a local disk"
        )


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """All mounts, in mount order."""
    return tuple(mount for line in text.splitlines() if (mount := _parse_line(line)) is not None)


def choose_mount(path: Path, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that `path` lies on: the deepest, and of several at one point the last, which hides the others."""
    above = [mount for mount in mounts if path.is_relative_to(mount.point)]
    return max(enumerate(above), key=lambda item: (len(item[1].point.parts), item[0]))[1] if above else None


def _parse_line(line: str) -> Mount | None:
    """Reads one line. Optional fields end at a lone '-', so that the type is counted from there."""
    fields = line.split(" ")
    try:
        return Mount(Path(_unescape(fields[4])), fields[fields.index("-", 6) + 1])
    except (IndexError, ValueError):
        return None


def _unescape(text: str) -> str:
    """Undoes the three octal digits as which blanks and backslashes are written."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)

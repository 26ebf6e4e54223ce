"""Reads the snapshot files of a directory: kept descriptors, no locks, nothing that a stranger could have put there.

Files are read, never mapped: a file that is cut short while it is mapped kills the reader.
"""

from __future__ import annotations

import os
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from vllm_exporter.clock import Clock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.linux.stat import GONE, read_stat
from vllm_exporter.subjects.inside.format import (
    HEADER,
    MAX_FILE,
    BadSnapshot,
    Directory,
    Header,
    ProcessIdentity,
    ProcessSnapshot,
    is_whole,
    parse_directory,
    parse_header,
    parse_values,
)

SUFFIX = ".snap"
MAX_FILES = 256
MAX_STRANGERS = 16  # files of others that the log names
TRIES = 3  # readings of a file that is being written; a write takes 10 µs
RESCAN = 10.0  # seconds; a new file changes the time of the directory, but that may be as coarse as 4 ms
SILENT = 60.0  # seconds after which a process of another PID namespace counts as gone; it writes every 10


class SnapshotFile:
    """One file, kept open. Raises BadSnapshot when it cannot be trusted or used."""

    def __init__(self, folder: int, name: str, trusted: frozenset[int]) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._fd = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            raise BadSnapshot("unreadable", f"cannot be opened: {error.strerror}") from None
        try:
            self.inode = check_file(os.fstat(self._fd), trusted)
        except BadSnapshot:
            self.close()
            raise
        self._size = HEADER.size
        self._known: tuple[int, int] | None = None  # generation and checksum of the directory
        self._directory = Directory(())

    def read(self) -> ProcessSnapshot:
        """Reads the file, in 9 µs with 300 values. Raises BadSnapshot; reason torn: it was written at each try."""
        for _ in range(TRIES):
            data = self._pread(self._size, 0)
            header = parse_header(data)
            if header.end > self._size:
                self._size = header.end
                data = self._pread(self._size, 0)
            if len(data) < header.end and not header.sequence & 1:
                raise BadSnapshot("truncated", f"{len(data)} bytes, the header says {header.end}")
            if is_whole(data, header) and self._describe(header):
                values = parse_values(data, header)
                return ProcessSnapshot(header.identity, header.port, header.written, self._directory, values)
        raise BadSnapshot("torn", f"it was being written at each of {TRIES} readings")

    def close(self) -> None:
        os.close(self._fd)

    def _describe(self, header: Header) -> bool:
        """Reads the directory if it has changed. Returns False while it is being written."""
        key = (header.generation, header.directory_checksum)
        if key == self._known:
            return True
        data = self._pread(header.directory_size, header.directory_at)
        if zlib.crc32(data) != header.directory_checksum:
            return False
        self._directory, self._known = parse_directory(data, header), key
        return True

    def _pread(self, size: int, at: int) -> bytes:
        try:
            return os.pread(self._fd, size, at)
        except OSError as error:
            raise BadSnapshot("unreadable", f"cannot be read: {error.strerror}") from None


@dataclass
class DirectoryReading:
    """One look at the directory. Problems are by file name."""

    snapshots: list[ProcessSnapshot] = field(default_factory=list)
    problems: dict[str, BadSnapshot] = field(default_factory=dict)


class SnapshotDirectory:
    """All `*.snap` of a directory. A file that cannot be used is a problem of its own; the others are read."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._files: dict[str, SnapshotFile] = {}
        self._refused: dict[str, BadSnapshot] = {}
        self._changed = -1  # time of the directory, in ns
        self._scanned = 0.0
        self._crowded = False  # many files: whoever makes them changes the directory's time as often as he likes

    def read(self) -> DirectoryReading:
        """Reads all files. Raises NoData without the directory, SourceError when others may write into it."""
        self._scan()
        reading = DirectoryReading(problems=dict(self._refused))
        for name, file in self._files.items():
            try:
                reading.snapshots.append(file.read())
            except BadSnapshot as problem:
                reading.problems[name] = problem
        return reading

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    def _scan(self) -> None:
        """Opens new files, and closes those that are gone or were replaced."""
        folder = self._open()
        try:
            about = os.fstat(folder)
            now = self._clock.monotonic()
            unchanged = about.st_mtime_ns == self._changed or self._crowded
            if unchanged and now - self._scanned < RESCAN:
                return
            owners = check_folder(self._path, about)
            self._keep(folder, owners)
            self._changed, self._scanned = about.st_mtime_ns, now
        finally:
            os.close(folder)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NoData(f"{self._path} does not exist: no process has written into it yet") from None
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be opened: {error.strerror}; it must be a directory") from None

    def _keep(self, folder: int, trusted: frozenset[int]) -> None:
        """Opens the files that may be trusted. Those of strangers are only counted: anybody may write into a directory
        that several users share. Raises SourceError for too many of the others."""
        names = [name for name in os.listdir(folder) if name.endswith(SUFFIX) and not name.startswith(".")]
        mine = sorted(name for name in names if _owner(folder, name) in trusted)
        self._crowded = len(names) > MAX_FILES
        if len(mine) > MAX_FILES:
            raise SourceError(f"{self._path}: {len(mine)} files, at most {MAX_FILES} are read; remove old ones")
        old, self._files, self._refused = self._files, {}, {}
        for name in mine:
            try:
                self._files[name] = _kept(old, folder, name) or SnapshotFile(folder, name, trusted)
            except BadSnapshot as problem:
                self._refused[name] = problem
        for file in old.values():
            file.close()
        self._refuse_strangers(folder, sorted(set(names) - set(mine)), trusted)

    def _refuse_strangers(self, folder: int, names: list[str], trusted: frozenset[int]) -> None:
        """Says of the first strangers' files what is wrong with each, and of the others how many there are."""
        for name in names[:MAX_STRANGERS]:
            try:
                SnapshotFile(folder, name, trusted).close()
            except BadSnapshot as problem:
                self._refused[name] = problem
        more = len(names) - MAX_STRANGERS
        if more > 0:
            self._refused["…"] = BadSnapshot("untrusted", f"{more} more files of users who are not trusted")


def _owner(folder: int, name: str) -> int | None:
    """Returns the user of a file, of a link the link's own; None when it is gone."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid
    except OSError:
        return None


def check_folder(path: Path, about: os.stat_result) -> frozenset[int]:
    """Returns the users whose files are trusted: root, the exporter's, the directory's owner. Raises SourceError."""
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not about.st_mode & stat.S_ISVTX:
        raise SourceError(f"{path}: others may write into it; chmod 0755, or 1777 to share it")
    return frozenset((0, os.geteuid(), about.st_uid))


def lives(identity: ProcessIdentity, written: float, now: float, proc: Path, here: ProcessIdentity) -> bool:
    """True if the process still lives. `here` is the exporter's own identity: a process of another boot is gone, and
    one of another PID namespace, whose id is not valid here, is gone when it is silent."""
    if identity.boot != here.boot:
        return False
    if identity.namespace != here.namespace:
        return now - written < SILENT
    found = read_stat(proc, identity.pid)
    return found is not None and found.ref.start == identity.start and found.state not in GONE


def read_identity(proc: Path) -> ProcessIdentity:
    """Returns boot and PID namespace of the exporter itself. Raises SourceError."""
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        namespace = os.stat(proc / "self/ns/pid").st_ino
    except OSError as error:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return ProcessIdentity(boot, namespace, os.getpid(), 0)


def _kept(old: dict[str, SnapshotFile], folder: int, name: str) -> SnapshotFile | None:
    """Returns the open file, if it is still the file of that name."""
    try:
        inode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino
    except OSError:
        return None
    return old.pop(name) if name in old and old[name].inode == inode else None


def check_file(about: os.stat_result, trusted: frozenset[int]) -> int:
    """Returns the inode. Raises BadSnapshot when somebody else could have written the file."""
    if not stat.S_ISREG(about.st_mode):
        raise BadSnapshot("untrusted", "is not a regular file")
    if about.st_uid not in trusted:
        raise BadSnapshot(
            "untrusted", f"belongs to user {about.st_uid}, not to root, the exporter or the folder's owner"
        )
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadSnapshot("untrusted", "others may write to it; create it with mode 0644")
    if about.st_size > MAX_FILE:
        raise BadSnapshot("size", f"{about.st_size} bytes, at most {MAX_FILE} are read")
    return about.st_ino

"""Opens files that only root and the exporter's user can have written, and no file that a link leads to.

What a stranger may write is believed as little as what he says: a state file of his would make processes orphans, and a
link of his would have root write over any file.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from vllm_exporter.secret_mode import exposed

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
NEW = ".new"  # at the end of a file that is not whole yet
READ = os.O_RDONLY | os.O_NONBLOCK


class Untrusted(OSError):
    """Others may change a file or directory; the message names it and the fix."""


def check_folder(path: Path) -> None:
    """Raises Untrusted when others may write into the directory, or led us there by a link; OSError when it is none."""
    check_links(path)
    _check_directory(path, os.stat(path))


def check_links(path: Path) -> None:
    """Raises Untrusted for a link of a stranger's on the way to the path, the path itself included."""
    for step in (*reversed(Path(os.path.abspath(path)).parents), path):
        try:
            about = os.lstat(step)
        except OSError:
            return  # the rest is not there either
        if stat.S_ISLNK(about.st_mode) and about.st_uid not in trusted_users():
            raise Untrusted(f"{step} is a link of user {about.st_uid}; name the directory itself, or remove the link")


def read_trusted(path: Path, size: int) -> bytes | None:
    """Returns at most `size` bytes; None when there is no such file. Raises OSError, Untrusted if others wrote it."""
    try:
        folder = _open_folder(path.parent)
    except FileNotFoundError:
        return None
    try:
        closed = not os.fstat(folder).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        file = open_no_link(path, READ, folder=folder)
    except FileNotFoundError:
        return None
    finally:
        os.close(folder)
    with open(file, "rb") as stream:
        check_file(path, os.fstat(file), closed)
        return stream.read(size)


def read_plain(path: Path, size: int) -> bytes:
    """Returns at most `size` bytes of a file, whoever wrote it. Raises OSError, Untrusted for a link or a pipe."""
    with open(open_no_link(path, READ), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise Untrusted(f"{path} is not a regular file; remove it")
        return stream.read(size)


def open_no_link(path: Path, flags: int, mode: int = 0o600, folder: int | None = None) -> int:
    """Returns the descriptor of a file. Raises OSError, Untrusted for a link."""
    try:
        return os.open(path if folder is None else path.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Untrusted(f"{path} is a link; remove it") from None
        raise


def replace_trusted(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: an interruption leaves the old one. Makes its directory. Raises OSError."""
    make_folder(path.parent)
    folder = _open_folder(path.parent)
    new = f"{path.name}.{os.urandom(8).hex()}{NEW}"
    try:
        file = open_no_link(path.with_name(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder=folder)
        try:
            with open(file, "wb") as stream:
                stream.write(content)
            os.replace(new, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(new, dir_fd=folder)
            raise
    finally:
        os.close(folder)


def open_to_append(path: Path) -> int:
    """Returns the descriptor of a file to append to, in a directory that may be a log's: of others too, if they cannot
    take the place of a file in it. Raises OSError, Untrusted for a file that others wrote, or that has another name."""
    make_folder(path.parent)
    about = os.stat(path.parent)
    if about.st_mode & stat.S_IWOTH and not about.st_mode & stat.S_ISVTX:
        raise Untrusted(
            f"every user may write into {path.parent}; run: chmod o-w {path.parent}, or name another directory"
        )
    file = open_no_link(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o640)
    try:
        about = os.fstat(file)
        check_file(path, about)
        if about.st_nlink > 1:
            raise Untrusted(f"{path} is a file that has another name too; remove this one")
    except Untrusted:
        os.close(file)
        raise
    return file


def make_folder(path: Path) -> None:
    """Makes the directory and those above it, closed to others. Raises OSError, Untrusted as `check_folder`."""
    check_links(path)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def remove_unfinished(path: Path) -> None:
    """Removes what an exporter that was killed left of this file. Raises OSError."""
    for left in path.parent.glob(f"{path.name}.*{NEW}"):
        left.unlink(missing_ok=True)


def check_file(path: Path, about: os.stat_result, closed: bool = False) -> None:
    """Raises Untrusted when it is no regular file, or others may write to it.

    `closed`: nobody else may enter its directory. The first release wrote files there by the umask, which may give the
    group the right to write.
    """
    if not stat.S_ISREG(about.st_mode):
        raise Untrusted(f"{path} is not a regular file; remove it")
    if about.st_uid not in trusted_users():
        raise Untrusted(f"{path} belongs to user {about.st_uid}; run: chown {os.geteuid()} {path}, or remove it")
    if about.st_mode & (stat.S_IWOTH if closed else OTHERS_WRITE):
        mode = stat.S_IMODE(about.st_mode)
        raise Untrusted(f"{path} may be written by others (mode {mode:04o}); run: chmod go-w {path}")


def check_secret(path: str) -> None:
    """Raises Untrusted when every user may read or write the file. On a read-only mount, as Docker and Kubernetes hand
    out secrets, the mode is theirs and cannot be changed. Nothing is said of a file that is not there."""
    try:
        problem = exposed(path)
    except (OSError, ValueError):
        return
    if problem:
        raise Untrusted(f"{path} {problem}")


def check_not_everybodys(path: Path) -> None:
    """Raises Untrusted when every user may write to the file. On a read-only mount nobody may."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if not mode & stat.S_IWOTH or os.statvfs(path).f_flag & os.ST_RDONLY:
            return
    except (OSError, ValueError):
        return  # it is not there: who reads it says so
    raise Untrusted(
        f"{path} may be written by every user (mode {mode:04o}); run: chmod o-w {path}, or mount it read-only"
    )


def trusted_users() -> tuple[int, int]:
    return 0, os.geteuid()


def _open_folder(path: Path) -> int:
    check_links(path)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_directory(path, os.fstat(folder))
    except Untrusted:
        os.close(folder)
        raise
    return folder


def _check_directory(path: Path, about: os.stat_result) -> None:
    if not stat.S_ISDIR(about.st_mode):
        raise Untrusted(f"{path} is not a directory; correct the path")
    if about.st_uid not in trusted_users():
        raise Untrusted(
            f"{path} belongs to user {about.st_uid}; run: chown {os.geteuid()} {path}, or name another directory"
        )
    if about.st_mode & OTHERS_WRITE:
        mode = stat.S_IMODE(about.st_mode)
        raise Untrusted(
            f"others may write into {path} (mode {mode:04o}); run: chmod go-w {path}, or name a directory of its own"
        )

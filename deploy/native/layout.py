"""The run directory: where things lie in it, and that one user and one command at a time write to it."""

from __future__ import annotations

import fcntl
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.config.access import password_name
from deploy.config.files import PRIVATE_FILE, run_directory
from deploy.errors import NativeError

# A unix socket's path has at most 107 bytes (unix(7)); supervisord binds it with its pid appended first.
_MAX_SOCKET_PATH = 107 - len(".4194304")
_LOG_BYTES = 64 * 1024  # more than the last lines of a log take


@dataclass(frozen=True)
class Layout:
    """`root` is the checkout, `run` the directory that holds all that is written."""

    root: Path
    run: Path
    env_file: Path

    @property
    def home(self) -> Path:
        """The directory of the user's files: .env, exporter.yml, healer.yml."""
        return self.env_file.parent

    @property
    def socket(self) -> Path:
        """supervisord's socket. Raises NativeError where the kernel would refuse its path."""
        path = self.run / "supervisor.sock"
        if len(str(path).encode()) > _MAX_SOCKET_PATH:
            raise NativeError(
                f"{path}: longer than a unix socket's path may be ({_MAX_SOCKET_PATH} bytes): use a shorter directory"
            )
        return path

    @property
    def server_url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def conf(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def pidfile(self) -> Path:
        return self.run / "supervisord.pid"

    @property
    def applied(self) -> Path:
        """The file that says with which configuration each part runs; see reloading.py."""
        return self.run / "applied.json"

    def password(self, part: str) -> Path:
        """The file with the password that Prometheus or Alertmanager asks for."""
        return self.run / "secrets" / password_name(part)

    def data(self, part: str) -> Path:
        return self.run / "data" / part

    def log(self, part: str) -> Path:
        return self.run / "logs" / f"{part}.log"

    def log_end(self, part: str, lines: int) -> str:
        """Returns the last lines of a part's log, indented; '' when there is none."""
        return "\n".join(f"  | {line}" for line in last_lines(self.log(part), lines))

    @staticmethod
    def program(name: str) -> Path:
        """A program of the virtual environment that runs this."""
        return Path(sys.prefix) / "bin" / name


def last_lines(path: Path, count: int) -> list[str]:
    """Returns the end of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def check_owner(run: Path) -> None:
    """Raises NativeError if the run directory is another user's: nobody else could read or stop what is there."""
    if not run.exists() or run.stat().st_uid == os.geteuid():
        return
    try:
        name = pwd.getpwuid(run.stat().st_uid).pw_name
    except KeyError:
        name = str(run.stat().st_uid)
    raise NativeError(f"{run} belongs to user {name}: do this as {name}, or stop everything and remove the directory")


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Waits for any other command on the run directory: two at once would start two supervisords."""
    run_directory(run)
    with os.fdopen(os.open(run / "lock", os.O_WRONLY | os.O_CREAT, PRIVATE_FILE), "w") as lock:
        os.fchmod(lock.fileno(), PRIVATE_FILE)  # who may open it may hold it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another command works on {run}: waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

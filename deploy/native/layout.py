"""Where things lie below the run directory."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import NativeError

# A unix socket's path has at most 107 bytes (unix(7)); supervisord binds it with its pid appended first.
_MAX_SOCKET_PATH = 107 - len(".4194304")


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
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def applied(self) -> Path:
        return self.run / "applied.json"

    def data(self, part: str) -> Path:
        return self.run / "data" / part

    def log(self, part: str) -> Path:
        return self.run / "logs" / f"{part}.log"

    @staticmethod
    def program(name: str) -> Path:
        """A program of the virtual environment that runs this."""
        return Path(sys.prefix) / "bin" / name


def check_owner(run: Path) -> None:
    """One user runs one run directory: others could neither read nor stop what is there. Raises NativeError."""
    if not run.exists() or run.stat().st_uid == os.geteuid():
        return
    try:
        name = pwd.getpwuid(run.stat().st_uid).pw_name
    except KeyError:
        name = str(run.stat().st_uid)
    raise NativeError(f"{run} belongs to user {name}: do this as {name}, or stop everything and remove the directory")

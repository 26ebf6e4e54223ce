"""Commands of a person to the processes of a server: a small file in their directory, signed with the token.

The generation of a command is the time at which it was given. So one that is replayed is older than the process, or
than the last that it obeyed, and nothing needs to be kept for that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vllm_monitor.token_file import VARIABLE

LONGEST = 60_000  # ms that a command may wait to be obeyed
AHEAD = 2_000  # ms by which a command may be later than now: the clock is one, and may be set
MOST = 4096  # bytes of a command
LOGGER = logging.getLogger("vllm_monitor")


@dataclass(frozen=True)
class Command:
    """`generation` and `expires` are in ms since the epoch. `port`: of the server that is meant; 0: each."""

    generation: int
    expires: int
    port: int = 0

    def signature(self, name: str, token: bytes) -> str:
        """Returns the HMAC-SHA256 over all that the command says."""
        text = f"vllm_monitor {name} {self.generation} {self.expires} {self.port}"
        return hmac.new(token, text.encode(), hashlib.sha256).hexdigest()


def path_of(folder: Path, name: str) -> Path:
    """Returns the file of the commands of a name."""
    return folder / f"{name}.command"


def give(folder: Path, name: str, command: Command, token: bytes) -> None:
    """Writes the command where the processes look. Raises OSError."""
    told = {
        "generation": command.generation,
        "expires": command.expires,
        "port": command.port,
        "hmac": command.signature(name, token),
    }
    new = folder / f".{name}.{os.getpid()}.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as file:
        os.fchmod(file.fileno(), 0o644)  # whatever the umask: vLLM may run as another user
        file.write(json.dumps(told))
    try:
        os.replace(new, path_of(folder, name))
    except OSError:
        new.unlink(missing_ok=True)
        raise


class Mailbox:
    """Where a process finds the commands of one name. `port` is that of its server; without a token it obeys none."""

    def __init__(
        self, folder: Path, name: str, token: bytes | None, port: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path_of(folder, name)
        self._name = name
        self._token = token
        self._port = port
        self._clock = clock
        self._last = int(clock() * 1000)  # generation that was obeyed; what is older than the process is a replay
        self._seen: tuple[int, int] | None = None  # inode and time of the file that was read

    def take(self) -> Command | None:
        """Returns a command that is to be obeyed, once. What is refused is said in the log, once."""
        try:
            about = os.lstat(self._path)
        except OSError:
            return None
        if self._seen == (about.st_ino, about.st_mtime_ns):
            return None
        self._seen = (about.st_ino, about.st_mtime_ns)
        try:
            command = self._read()
        except (OSError, ValueError, TypeError, KeyError) as error:
            LOGGER.warning("vllm_monitor: %s is no command that is obeyed: %s", self._path, error)
            return None
        if command.port not in (0, self._port):
            return None
        self._last = command.generation
        return command

    def _read(self) -> Command:
        """Raises OSError, ValueError, TypeError or KeyError for anything but a command of the token's owner, of now."""
        if self._token is None:
            raise ValueError(f"{VARIABLE} names no file to this process")
        file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(file, "rb") as stream:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise ValueError("it is not a regular file")
            told = json.loads(stream.read(MOST))
        command = Command(int(told["generation"]), int(told["expires"]), int(told["port"]))
        if not hmac.compare_digest(command.signature(self._name, self._token), str(told["hmac"])):
            raise ValueError("it is not signed with the token of this process")
        now = int(self._clock() * 1000)
        if command.generation <= self._last:
            raise ValueError("it is older than this process, or was obeyed")
        if not now < command.expires <= command.generation + LONGEST or command.generation > now + AHEAD:
            raise ValueError("it has expired, or is of another time than now")
        return command

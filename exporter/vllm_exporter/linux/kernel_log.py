"""Reads the kernel's log, /dev/kmsg. It never waits. What its lines tell: kernel_forms.py.

https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.errors import NoData, SourceError

RECORD = 8192  # bytes; the kernel cuts a record at 1 KiB of text and adds key=value lines about its device
BATCH = 1000  # records read at once: a driver in trouble prints hundreds


@dataclass(frozen=True)
class KernelLine:
    """One record. `seconds` are those of the clock that begins at boot."""

    number: int
    seconds: float
    level: int  # of syslog: 3 is an error, 4 a warning
    text: str


class KernelLog:
    """Reads the log from the time it is made. Raises NoData when it cannot: in a container, or without the right."""

    def __init__(self, path: Path = Path("/dev/kmsg"), read: Callable[[int, int], bytes] = os.read) -> None:
        self._read = read
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._fd, 0, os.SEEK_END)
        except FileNotFoundError:
            raise NoData(f"{path} does not exist; a container needs it as a device") from None
        except OSError as error:
            raise NoData(f"{path}: cannot be read: {error.strerror}; it needs root or CAP_SYSLOG") from None
        self.missed = 0  # times that records were overwritten before they were read

    def read(self, limit: int = BATCH) -> list[KernelLine]:
        """Returns the lines printed since the last call; takes 2 µs when there are none. Raises SourceError."""
        lines: list[KernelLine] = []
        for _ in range(limit):
            try:
                line = parse_record(self._read(self._fd, RECORD))
            except BlockingIOError:
                break
            except BrokenPipeError:  # overwritten; the next read goes on with the oldest there is
                self.missed += 1
                continue
            except OSError as error:
                raise SourceError(f"the kernel's log cannot be read: {error.strerror}") from None
            if line is None:
                break
            lines.append(line)
        return lines

    def close(self) -> None:
        os.close(self._fd)


def parse_record(data: bytes) -> KernelLine | None:
    """Parses '6,339,5140900,-;text', which may be followed by indented key=value lines. None at the end of a file."""
    if not data:
        return None
    head, _, rest = data.decode("utf-8", "replace").partition(";")
    try:
        priority, number, microseconds = map(int, head.split(",")[:3])
    except ValueError:
        raise SourceError(f"the kernel's log has a record of unknown form: {data[:60]!r}") from None
    return KernelLine(number, microseconds / 1e6, priority & 7, rest.partition("\n")[0])

"""Reads GPU errors (Xid) and OOM kills from the kernel's log, /dev/kmsg. It never waits.

https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.errors import NoData, SourceError

RECORD = 8192  # bytes; the kernel cuts a record at 1 KiB of text and adds key=value lines about its device
BATCH = 1000  # records read at once: a driver in trouble prints hundreds

# The GPU stands between the words "NVRM: Xid" and the code. Its form depends on the age of the driver:
#   (0002:00)                           before 2012: bus and slot
#   (0000:03:00)                        until 2014: domain, bus, slot
#   (PCI:0000:05:00)                    since
#   (PCI:0000:01:00 GPU-I:05)           with the MIG instance, since 2020; (… GPU-I:01 GPU-CI:02) too
_XID = re.compile(
    r"NVRM: Xid \((?:PCI:)?((?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2,4}:[0-9a-fA-F]{2}(?:\.\d)?)[^)]*\): (\d{1,4})\b"
)
_LOST = re.compile(r"NVRM: .*?\b((?:[0-9a-fA-F]{4,8}:)[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.\d).*\bfallen off the bus")
_KILLED = re.compile(r"Killed process (\d+)(?:, UID \d+,)? \((.*)\)(?:, UID \d+,)? total-vm:")


@dataclass(frozen=True)
class KernelLine:
    """One record. `seconds` are those of the clock that begins at boot."""

    number: int
    seconds: float
    level: int  # of syslog: 3 is an error, 4 a warning
    text: str


@dataclass(frozen=True)
class OomKill:
    """A process that the kernel killed to get memory back."""

    pid: int
    name: str  # as the kernel cuts it: 15 characters
    cgroup: bool  # for a cgroup's limit; else the host was out of memory


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


def parse_xid(line: str) -> tuple[str, int] | None:
    """Returns PCI address as in sysfs (0000:17:00.0) and code; None for other lines, and for NVSwitches' SXid."""
    found = _XID.search(line)
    return (normal_bus(found[1]), int(found[2])) if found else None


def parse_lost(line: str) -> str | None:
    """Returns the PCI address of a GPU that the driver reports, without an Xid, as fallen off the bus."""
    if "Xid" in line:
        return None
    found = _LOST.search(line)
    return normal_bus(found[1]) if found else None


def parse_oom_kill(line: str) -> OomKill | None:
    """Parses '[Memory cgroup o|O]ut of memory: Killed process 7 (name) total-vm:…', which is printed once per kill."""
    found = _KILLED.search(line)
    return OomKill(int(found[1]), found[2], line.lstrip().startswith("Memory cgroup")) if found else None


def normal_bus(text: str) -> str:
    """Converts '0002:00', '0000:03:00' and '00000000:03:00.0' to the form of sysfs."""
    parts = text.lower().partition(".")[0].split(":")
    domain, bus, slot = parts if len(parts) == 3 else ("0", *parts)
    return f"{int(domain, 16):04x}:{int(bus, 16):02x}:{slot}.0"

"""Sees processes end, at that moment and with their exit status, although they are not our children.

A pidfd becomes readable when its process ends. The status is in /proc/<pid>/stat until the parent collects it (Linux
3.5), and in the pidfd after that (PIDFD_GET_INFO of Linux 6.15); either we or the parent may be first.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.clock import Clock
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.files import read_file
from vllm_exporter.linux.stat import SIZE, is_own_namespace, parse_exit_status, parse_stat

# include/uapi/linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info): u64 mask, u64 cgroupid, 11 u32, s32 exit_code
GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
INFO_EXIT = 1 << 3
NEVER = -1  # in place of a status: it will never be known
UNCOLLECTED = 5.0  # seconds that a zombie whose status we may not read may wait for its parent; then it is unknown


@dataclass(frozen=True)
class ProcessExit:
    """A process that ended."""

    ref: Ref
    at: float  # Unix time
    status: int | None  # as wait(2) has it; None: not known here


@dataclass
class _Watched:
    ref: Ref
    readable: bool  # True if its stat shows us everything
    ended: tuple[float, float] | None = None  # wall and monotonic time


class ExitWatch:
    """Watches processes. `watch`, `drain` and `close` are called from one thread; another one sleeps until one ends."""

    def __init__(self, proc: Path, clock: Clock) -> None:
        self._proc = proc
        self._clock = clock
        self._usable = is_own_namespace(proc) and hasattr(os, "pidfd_open")
        self._watched: dict[int, _Watched] = {}  # by pidfd
        self._ended: deque[int] = deque()  # pidfds, from the thread to `drain`
        self._exits: deque[tuple[int, ProcessExit]] = deque()  # the same
        self._epoll: select.epoll | None = None
        self._wake = -1
        self._thread: threading.Thread | None = None

    def watch(self, ref: Ref) -> bool:
        """Returns False if its end cannot be seen: old kernel, seccomp filter, other PID namespace, or it is gone."""
        if not self._usable:
            return False
        try:
            pidfd = os.pidfd_open(ref.pid)
        except OSError:
            return False
        text = read_file(self._proc / str(ref.pid) / "stat", SIZE)
        stat = parse_stat(text) if text else None
        if stat is None or stat.ref != ref:  # the id has passed to another one
            os.close(pidfd)
            return False
        self._watched[pidfd] = _Watched(ref, stat.readable)
        self._poller().register(pidfd, select.EPOLLIN)
        return True

    def drain(self) -> list[ProcessExit]:
        """Returns the processes that ended since the last call. One whose status may still become known waits."""
        found = [self._forget(*self._exits.popleft()) for _ in range(len(self._exits))]
        for pidfd in [self._ended.popleft() for _ in range(len(self._ended))]:
            late = self._late(pidfd)
            if late is None:
                self._ended.append(pidfd)
            else:
                found.append(self._forget(pidfd, late))
        return found

    def close(self) -> None:
        if self._epoll is None:
            return
        os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join(0.5)
        self._epoll.close()
        for descriptor in (*self._watched, self._wake):
            os.close(descriptor)
        self._watched, self._epoll = {}, None

    def _poller(self) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()
            self._wake = os.eventfd(0, os.EFD_CLOEXEC)
            self._epoll.register(self._wake, select.EPOLLIN)
            self._thread = threading.Thread(target=self._run, args=(self._epoll,), name="exits", daemon=True)
            self._thread.start()
        return self._epoll

    def _run(self, epoll: select.epoll) -> None:
        while True:
            for descriptor, _ in epoll.poll():
                if descriptor == self._wake:
                    return
                epoll.unregister(descriptor)
                self._saw_end(descriptor)

    def _saw_end(self, pidfd: int) -> None:
        watched = self._watched[pidfd]
        status = read_zombie(self._proc, watched.ref) if watched.readable else None
        if status is None:
            status = read_exit_info(pidfd)
        watched.ended = (self._clock.wall(), self._clock.monotonic())
        if status is None:
            self._ended.append(pidfd)
        else:
            self._exits.append((pidfd, ProcessExit(watched.ref, watched.ended[0], None if status == NEVER else status)))

    def _late(self, pidfd: int) -> ProcessExit | None:
        watched = self._watched[pidfd]
        assert watched.ended is not None  # set before it was put into _ended
        status = read_exit_info(pidfd)
        wall, monotonic = watched.ended
        if status is None and self._clock.monotonic() - monotonic < UNCOLLECTED:
            return None
        return ProcessExit(watched.ref, wall, None if status in (None, NEVER) else status)

    def _forget(self, pidfd: int, ended: ProcessExit) -> ProcessExit:
        del self._watched[pidfd]
        os.close(pidfd)
        return ended


def read_zombie(proc: Path, ref: Ref) -> int | None:
    """Returns the wait status; None when its parent has collected it, or we may not see it."""
    text = read_file(proc / str(ref.pid) / "stat", SIZE)
    return parse_exit_status(text, ref) if text else None


def read_exit_info(pidfd: int) -> int | None:
    """Returns the wait status; None: not before its parent has collected it; NEVER: this kernel does not provide it."""
    info = bytearray(64)
    struct.pack_into("=Q", info, 0, INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, GET_INFO, info)
    except OSError:  # ENOTTY before Linux 6.13; ESRCH before 6.15, once it has been collected
        return NEVER
    (mask,) = struct.unpack_from("=Q", info, 0)
    if not mask & INFO_EXIT:
        return None
    (status,) = struct.unpack_from("=i", info, 60)
    return int(status)

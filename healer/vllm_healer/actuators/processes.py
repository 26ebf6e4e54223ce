"""Process trees, read from /proc, and signals that cannot hit a later process of the same pid.

A pid alone names nobody: the kernel gives it out again. A process is (pid, start time), and a signal goes through a
pidfd opened before the start time is checked, so that nothing can slip in between. Process groups are never signalled:
their members are not known one by one.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vllm_healer.actuators.commands import role_of
from vllm_healer.errors import PermanentError
from vllm_healer.model import NO_INCARNATION, UNKNOWN_USER, ProcessRef

PROC = Path("/proc")
TITLE_LENGTH = 120
TICKS = os.sysconf("SC_CLK_TCK")  # clock ticks a second, the unit of start times
DEAD = frozenset("ZXx")  # zombie and dead: nothing is held any more but the entry in the table


@dataclass(frozen=True)
class Process:
    """One process as /proc shows it."""

    pid: int
    parent: int
    start_ticks: int  # since boot
    state: str  # one letter, proc_pid_stat(5)
    comm: str
    argv: tuple[str, ...] = ()
    uid: int = UNKNOWN_USER

    @property
    def title(self) -> str:
        return (" ".join(self.argv).strip() or f"[{self.comm}]")[:TITLE_LENGTH]

    @property
    def role(self) -> str:
        return role_of(self.argv)

    @property
    def ref(self) -> ProcessRef:
        return ProcessRef(self.pid, self.start_ticks, self.role, self.title, self.uid)


@dataclass(frozen=True)
class Snapshot:
    """All processes at one moment of one boot."""

    boot_id: str
    uptime: float  # seconds since boot
    processes: Mapping[int, Process]

    def find(self, pid: int, start_ticks: int) -> Process | None:
        """The living process with this pid and this start time, or None."""
        process = self.processes.get(pid)
        if process is None or process.start_ticks != start_ticks or process.state in DEAD:
            return None
        return process

    def alive(self, refs: Iterable[ProcessRef]) -> tuple[ProcessRef, ...]:
        return tuple(ref for ref in refs if self.find(ref.pid, ref.start_ticks))

    def tree(self, root: int) -> tuple[Process, ...]:
        """The living processes from `root` down, parents before children."""
        children: dict[int, list[Process]] = {}
        for process in self.processes.values():
            children.setdefault(process.parent, []).append(process)
        top = self.processes.get(root)
        queue = [top] if top and top.state not in DEAD else []
        for process in queue:  # grows while it is read: breadth first
            queue.extend(children.get(process.pid, ()))
        return tuple(process for process in queue if process.state not in DEAD)

    def with_descendants(self, refs: Iterable[ProcessRef]) -> tuple[ProcessRef, ...]:
        """The living processes of `refs` and everything that they have started."""
        alive = self.alive(refs)
        below = (process.ref for ref in alive for process in self.tree(ref.pid))
        return tuple({ref.pid: ref for ref in (*alive, *below)}.values())

    def key(self, process: Process) -> str:
        """The incarnation key of an API server."""
        return f"{self.boot_id}/{process.pid}/{process.start_ticks}"


def read_snapshot(proc: Path = PROC) -> Snapshot:
    """Reads all processes. Those that end while they are read are left out."""
    processes = (read_process(int(entry), proc) for entry in os.listdir(proc) if entry.isdigit())
    boot_id = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    uptime = float((proc / "uptime").read_text(encoding="ascii").split()[0])
    return Snapshot(boot_id, uptime, {process.pid: process for process in processes if process})


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    try:
        stat = (proc / str(pid) / "stat").read_bytes()
        cmdline = (proc / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return replace(parse_process(stat, cmdline), uid=user_of(pid, proc))


def user_of(pid: int, proc: Path = PROC) -> int:
    """The user as whom it runs; UNKNOWN_USER when it is gone or hidden."""
    try:
        return os.stat(proc / str(pid)).st_uid
    except OSError:
        return UNKNOWN_USER


def find_traced(refs: Iterable[ProcessRef], proc: Path = PROC) -> str:
    """Words for which of these processes is debugged, and by whom; '' when none is seen to be."""
    for ref in refs:
        tracer = tracer_of(ref.pid, proc)
        if tracer:
            by = read_process(tracer, proc)
            return f"{by.title if by else 'a process'} (pid {tracer}) debugs {ref.title} (pid {ref.pid})"
    return ""


def tracer_of(pid: int, proc: Path = PROC) -> int:
    """The process that traces this one, as a debugger does; 0 for none, or when the process is gone or hidden."""
    try:
        status = (proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    found = re.search(r"^TracerPid:\s*([0-9]+)$", status, re.MULTILINE)
    return int(found[1]) if found else 0


def still_alive(refs: Iterable[ProcessRef], proc: Path = PROC) -> tuple[ProcessRef, ...]:
    """The refs whose process lives. It costs less than a snapshot, for those who ask again and again."""
    found = ((ref, read_process(ref.pid, proc)) for ref in refs)
    return tuple(ref for ref, p in found if p and p.start_ticks == ref.start_ticks and p.state not in DEAD)


def parse_process(stat: bytes, cmdline: bytes) -> Process:
    """Reads /proc/<pid>/stat and cmdline. A name may hold spaces and parentheses: it ends at the last parenthesis."""
    head, _, tail = stat.decode("utf-8", "replace").rpartition(")")
    pid, _, comm = head.partition(" (")
    fields = tail.split()
    argv = tuple(cmdline.decode("utf-8", "replace").rstrip("\0 ").split("\0"))
    return Process(int(pid), int(fields[1]), int(fields[19]), fields[0], comm, argv)


def choose_api_server(tree: tuple[Process, ...]) -> Process | None:
    """The topmost `vllm serve`; while a wrapper has not started it yet, the wrapper."""
    served = (process for process in tree if process.role == "api_server")
    return next(served, tree[0] if tree else None)


def parse_key(key: str) -> tuple[str, int, int] | None:
    """The (boot id, pid, start ticks) in an incarnation key; None for a key of another host, or of no process."""
    boot_id, _, rest = key.partition("/")
    pid, _, ticks = rest.partition("/")
    if key == NO_INCARNATION.key or not (pid.isdigit() and ticks.isdigit()):
        return None
    return boot_id, int(pid), int(ticks)


def send(ref: ProcessRef, number: int) -> bool:
    """Signals exactly this process; returns False when it is gone. Raises PermanentError when it is not permitted."""
    try:
        fd = os.pidfd_open(ref.pid)
    except ProcessLookupError:
        return False
    except OSError as error:
        words = f"pidfd_open of {ref.title} (pid {ref.pid}): {error.strerror}; Linux 5.3 or later is needed"
        raise PermanentError(words) from error
    try:
        return _send_checked(fd, ref, number)
    finally:
        os.close(fd)


def _send_checked(fd: int, ref: ProcessRef, number: int) -> bool:
    """Checks and signals while the pidfd is held, so that the pid cannot change hands in between."""
    process = read_process(ref.pid)
    if process is None or process.start_ticks != ref.start_ticks or ref.pid == os.getpid():
        return False
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        words = f"not permitted to signal {ref.title} (pid {ref.pid}); run the healer as vLLM's user or as root"
        raise PermanentError(words) from error
    return True

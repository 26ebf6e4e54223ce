"""What is done to vLLM: its processes found by title under supervisord's pid, and signals to them."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness.processes import descendants, read_stat
from tests.e2e.harness.supervisor import Supervisor
from tests.e2e.harness.waiting import until


@dataclass(frozen=True)
class Process:
    """One process of a vLLM tree; the start time tells it from a later one of the same pid."""

    pid: int
    start_ticks: int
    title: str

    def is_alive(self) -> bool:
        stat = read_stat(self.pid)
        return stat is not None and stat.start_ticks == self.start_ticks


@dataclass(frozen=True)
class Tree:
    """All processes of one incarnation."""

    api_server: Process
    others: tuple[Process, ...]

    @property
    def engine_core(self) -> Process:
        return next(process for process in self.others if process.title.startswith("VLLM::EngineCore"))

    def alive(self) -> list[Process]:
        return [process for process in (self.api_server, *self.others) if process.is_alive()]


def read_tree(supervisor: Supervisor) -> Tree | None:
    """The present incarnation; None while it has no engine core yet."""
    pid = supervisor.info().pid
    stat = read_stat(pid) if pid else None
    if stat is None:
        return None
    others = tuple(Process(child.pid, child.start_ticks, _title(child.pid)) for child in descendants(pid))
    if not any(process.title.startswith("VLLM::EngineCore") for process in others):
        return None
    return Tree(Process(pid, stat.start_ticks, _title(pid)), others)


def tree_of(supervisor: Supervisor) -> Tree:
    """The present incarnation of a server that is ready."""
    return until("an engine core below supervisord's program", lambda: read_tree(supervisor), 30)


def freeze(process: Process) -> None:
    """SIGSTOP: the process is there and does nothing, as with a wedged kernel or a dead-lock."""
    os.kill(process.pid, signal.SIGSTOP)


def kill(process: Process) -> None:
    """SIGKILL: as the kernel's OOM killer does."""
    os.kill(process.pid, signal.SIGKILL)


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:120]
    except OSError:
        return ""

"""Seeing real processes end that are not our children: each is started by a helper that collects it when told to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.patience import wait_for
from vllm_exporter.clock import SystemClock
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.stat import read_stat
from vllm_exporter.subjects.processes import exit_watch
from vllm_exporter.subjects.processes.exit_watch import ExitWatch, ProcessExit

PROC = Path("/proc")

# Starts one process, ends it as told by a line of its standard input, and collects it at the next line.
HELPER = """\
import os, sys
child = os.fork()
if child == 0:
    sys.stdin.readline()
    {end}
print(child, flush=True)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("ended", flush=True)
{wait}
os.waitpid(child, 0)
print("collected", flush=True)
"""


@dataclass
class Helper:
    process: subprocess.Popen[str]
    child: int

    @property
    def ref(self) -> Ref:
        stat = read_stat(PROC, self.child)
        assert stat is not None
        return stat.ref

    def end_child(self) -> None:
        self.tell()
        assert self.hear() == "ended"

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def helpers() -> Iterator[list[Helper]]:
    made: list[Helper] = []
    yield made
    for helper in made:
        helper.process.kill()
        helper.process.communicate()


def start(helpers: list[Helper], end: str, collects_at_once: bool = False) -> Helper:
    """`end`: the last statement of the child."""
    wait = "" if collects_at_once else "sys.stdin.readline()"
    program = HELPER.format(end=end, wait=wait)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-u", "-S", "-c", program], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    helpers.append(Helper(process, int(process.stdout.readline())))
    return helpers[-1]


def exits(watch: ExitWatch) -> list[ProcessExit]:
    return wait_for(watch.drain)


@pytest.mark.parametrize(
    ("end", "status"),
    [("os._exit(0)", 0), ("os._exit(3)", 3 * 256), ("os.kill(os.getpid(), 9)", 9), ("os.kill(os.getpid(), 15)", 15)],
)
def test_tells_when_and_how_a_process_ended(helpers: list[Helper], end: str, status: int) -> None:
    helper = start(helpers, end)
    watch = ExitWatch(PROC, SystemClock())
    ref = helper.ref
    assert watch.watch(ref)
    assert watch.drain() == []
    before = time.time()
    helper.end_child()
    (seen,) = exits(watch)
    assert (seen.ref, seen.status) == (ref, status)
    assert before <= seen.at <= time.time()
    assert watch.drain() == []
    watch.close()


def test_a_status_that_the_parent_was_faster_to_collect_comes_from_the_pidfd(
    helpers: list[Helper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exit_watch, "read_zombie", lambda proc, ref: None)
    helper = start(helpers, "os._exit(7)")
    pidfd = os.pidfd_open(helper.child)
    watch = ExitWatch(PROC, SystemClock())
    watch.watch(helper.ref)
    helper.end_child()
    if exit_watch.read_exit_info(pidfd) == exit_watch.NEVER:
        pytest.skip("this kernel does not tell: PIDFD_GET_INFO came with Linux 6.13, exits with 6.15")
    assert watch.drain() == []  # it may still become known
    helper.tell()
    assert helper.hear() == "collected"
    (seen,) = exits(watch)
    assert seen.status == 7 * 256
    watch.close()
    os.close(pidfd)


def test_a_status_that_is_not_for_us_stays_unknown_in_the_end(
    helpers: list[Helper], monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr(exit_watch, "read_zombie", lambda proc, ref: None)
    monkeypatch.setattr(exit_watch, "read_exit_info", lambda pidfd: None)
    helper = start(helpers, "os._exit(7)")
    watch = ExitWatch(PROC, clock)
    ref = helper.ref
    watch.watch(ref)
    helper.end_child()

    def later() -> list[ProcessExit]:
        clock.advance(exit_watch.UNCOLLECTED)
        return watch.drain()

    found = wait_for(later)  # its thread hears of the end
    assert [(seen.ref, seen.status) for seen in found] == [(ref, None)]
    watch.close()


def test_an_older_kernel_that_does_not_tell_is_not_waited_for(
    helpers: list[Helper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exit_watch, "read_zombie", lambda proc, ref: None)
    monkeypatch.setattr(exit_watch, "read_exit_info", lambda pidfd: exit_watch.NEVER)
    helper = start(helpers, "os._exit(7)", collects_at_once=True)
    watch = ExitWatch(PROC, SystemClock())
    watch.watch(helper.ref)
    helper.end_child()
    assert [seen.status for seen in exits(watch)] == [None]
    watch.close()


def test_watches_no_process_that_is_gone_or_another_than_meant(helpers: list[Helper]) -> None:
    helper = start(helpers, "os._exit(0)")
    watch = ExitWatch(PROC, SystemClock())
    assert not watch.watch(Ref(helper.child, helper.ref.start + 1))
    assert not watch.watch(Ref(2**22 + 1, 5))
    watch.close()


def test_watches_nothing_in_a_proc_that_is_not_ours(tmp_path: Path) -> None:
    assert not ExitWatch(tmp_path, SystemClock()).watch(Ref(os.getpid(), 1))

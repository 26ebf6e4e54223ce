"""The healer under load as a process of its own, also with a slow disk and under a system-call trace."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.healer import stage
from tests.healer.bench.load import SERVERS, percentile
from tests.ports import free_port
from vllm_healer.clock import SystemClock
from vllm_healer.journal import Journal

SYNCS = 300  # measured before a load
PAGE = 4096
TARGET = '  - {{server: "{server}", url: "http://127.1.0.{number}:9", actuator: dry_run}}'
SYNC_CALLS = "fdatasync,fsync"
# A healer that prunes from its start on, not only ten minutes later.
PRUNING = f"""
from vllm_healer.worker import pruner
pruner.FIRST = 0.0
{stage.MAIN}
"""
OLD = 400 * 86400.0  # seconds
OLD_ALERT = (
    "INSERT INTO alerts (fingerprint, period, starts_at, firing, over, name, labels, annotations, deliveries, incident,"
    " received_wall, received_boot, received_boot_id)"
    " VALUES (?, 'p', 't', 1, 1, 'Bench', ?, '{}', 1, NULL, ?, 1.0, 'b')"
)


@dataclass(frozen=True)
class Disk:
    """Seconds of one fdatasync of what a commit appends to the log."""

    median: float
    p99: float


def measure_disk(folder: Path) -> Disk:
    """Of the folder's disk now, with nothing injected."""
    took: list[float] = []
    file = os.open(folder / "fsync", os.O_RDWR | os.O_CREAT)
    try:
        for _ in range(SYNCS):
            os.write(file, bytes(4 * PAGE))
            started = time.perf_counter()
            os.fdatasync(file)
            took.append(time.perf_counter() - started)
    finally:
        os.close(file)
    return Disk(median(took), percentile(took, 0.99))


def slow_disk(seconds: float) -> tuple[str, ...]:
    """The program around a healer whose every sync takes so much longer."""
    inject = f"inject={SYNC_CALLS}:delay_exit={seconds * 1e6:.0f}"
    return ("strace", "-D", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", f"trace={SYNC_CALLS}", "-e", inject)


def traced(file: Path) -> tuple[str, ...]:
    """The program around a healer that writes down what it writes, syncs and answers. Lines of -y name the files."""
    calls = f"{SYNC_CALLS},pwrite64,sendto"
    return ("strace", "-D", "-f", "-y", "-s", "5000", "--seccomp-bpf", "-o", str(file), "-e", f"trace={calls}")


def can_trace() -> str:
    """Returns '' where strace can be used, else why not."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run([*slow_disk(0.0), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


@contextmanager
def running(folder: Path, around: tuple[str, ...] = (), old_alerts: int = 0) -> Iterator[stage.Healer]:
    """A healer with 200 listed servers that nobody may touch. It is killed at the end.

    `old_alerts`: how many its journal has that may go; it begins at once to remove them.
    """
    folder.mkdir()
    healer = stage.Healer(folder, free_port(), main=PRUNING if old_alerts else stage.MAIN, around=around)
    listed = (TARGET.format(server=server, number=number) for number, server in enumerate(SERVERS, 1))
    healer.configure(targets="\n".join(["targets:", *listed]))
    policy = healer.config.read_text()
    healer.config.write_text(policy.replace("reconcile_seconds: 1\n", ""))
    fill(folder / "journal.sqlite", old_alerts)
    healer.start()
    try:
        yield healer
    finally:
        healer.kill()


def fill(journal: Path, alerts: int) -> None:
    """Makes a journal with so many alerts that belong to nothing and are over a year old."""
    if not alerts:
        return
    Journal.open(journal, SystemClock()).close()
    labels = '{"alertname":"Bench","server":"old:8000","description":"' + "x" * 500 + '"}'
    with closing(sqlite3.connect(journal)) as connection, connection:
        heard = time.time() - OLD
        connection.executemany(OLD_ALERT, ((f"old-{number}", labels, heard) for number in range(alerts)))


def old_alerts_left(healer: stage.Healer) -> int:
    with closing(sqlite3.connect(healer.folder / "journal.sqlite")) as journal:
        (left,) = journal.execute("SELECT count(*) FROM alerts WHERE fingerprint LIKE 'old-%'").fetchone()
    return int(left)


def peak_mebibytes(healer: stage.Healer) -> float:
    """The most memory that its process has had."""
    assert healer.process is not None
    status = Path(f"/proc/{healer.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def lost(healer: stage.Healer, acknowledged: Iterable[tuple[str, bool]]) -> int:
    """Counts the acknowledged alerts that are not in the file, which is read after the healer was killed."""
    with closing(sqlite3.connect(healer.folder / "journal.sqlite")) as journal:
        found = {
            (fingerprint, bool(fires))
            for fingerprint, fires in journal.execute("SELECT fingerprint, firing FROM alerts")
        }
    return len(set(acknowledged) - found)

"""The application of tests/monitor/as_vllm.py in a real uvicorn, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.monitor.test_stat_logger import read
from tests.patience import wait_for
from tests.ports import free_port

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class Served:
    """`folder`: where the part inside writes."""

    port: int
    pid: int
    folder: Path

    def counts(self) -> dict[str, float]:
        """The values by name and labels, as the exporter's reader sees them."""
        return read(self.folder)

    def resident(self) -> float:
        """MiB of the server."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A server until the block ends."""
    port = free_port()
    snapshots = folder / "snapshots"
    snapshots.mkdir()
    command = [sys.executable, "-m", "uvicorn", "tests.monitor.as_vllm:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--lifespan", "off", "--http", "httptools", "--log-level", "critical"]  # vLLM's uvicorn has httptools
    env = {**os.environ, "VLLM_MONITOR_DIR": str(snapshots), "PYTHONPATH": str(CHECKOUT / "exporter")}
    with (folder / "uvicorn.log").open("w") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log, env=env)
    try:
        wait_for(lambda: _listens(port), "uvicorn", (folder / "uvicorn.log").read_text)
        yield Served(port, process.pid, snapshots)
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""What a fleet costs: CPU and memory of its one process while it is loaded and scraped."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import quantiles

import psutil

from tests.e2e.harness.figures import Figure
from tests.simulator import harness

SCRAPE_SECONDS = 5.0  # the project's scrape interval
SCRAPE_TIMEOUT = 4.0  # and its time limit
RATE_EACH = 0.5  # requests a second to each server, of 64 tokens in the median

# 100 servers run on one core; memory that a small machine has left over.
CORES = 1.0
MEGABYTES = 512.0


def measure(servers: int, seconds: float) -> list[Figure]:
    """Idle first, then under load."""
    with tempfile.TemporaryDirectory() as directory, harness.fleet(Path(directory), servers) as fleet:
        process = psutil.Process(fleet.process.pid)
        scraper = _Scraper(fleet.port, servers)
        with scraper:
            idle = cores(process, min(seconds, 10.0))
            with _load(fleet.port, servers, seconds):
                busy = cores(process, seconds)
        memory = process.memory_info().rss / 1e6
        return [
            Figure(f"fleet_{servers}_idle_cores", "cores", (idle,), CORES),
            Figure(f"fleet_{servers}_loaded_cores", "cores", (busy,), CORES),
            Figure(f"fleet_{servers}_rss_megabytes", "MB", (memory,), MEGABYTES),
            Figure(
                f"fleet_{servers}_scrape_p99_seconds", "s", (quantiles(scraper.durations, n=100)[-1],), SCRAPE_TIMEOUT
            ),
        ]


def cores(process: psutil.Process, seconds: float) -> float:
    """CPU seconds in a second."""
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


class _Scraper:
    """GET /metrics of each server every SCRAPE_SECONDS, spread evenly, as Prometheus does."""

    def __init__(self, port: int, servers: int) -> None:
        self.durations: list[float] = []
        self._ports = range(port, port + servers)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pause = SCRAPE_SECONDS / len(self._ports)
        while True:
            for port in self._ports:
                began = time.monotonic()
                harness.request(port, "GET", "/metrics")
                self.durations.append(time.monotonic() - began)
                if self._over.wait(max(0.0, pause - self.durations[-1])):
                    return


def _load(port: int, servers: int, seconds: float) -> contextlib.AbstractContextManager[object]:
    """In a process of its own, so that only the fleet is measured."""
    targets = ",".join(f"127.0.0.1:{port + number}" for number in range(servers))
    rate = str(RATE_EACH * servers)
    words = [sys.executable, "-m", "deploy.simulator", "load", "--targets", targets, "--rate", rate]
    words += ["--seconds", str(seconds), "--in-flight", "2000"]
    return subprocess.Popen(words, cwd=harness.CHECKOUT, stdout=subprocess.DEVNULL)

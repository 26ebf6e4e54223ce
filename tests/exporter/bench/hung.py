"""Scrapes while a collector hangs for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.harness.figures import Figure
from tests.exporter.bench.programs import Scraper
from tests.exporter.fakes import LogLines
from tests.ports import free_port
from vllm_exporter.app import App, enabled, load_collectors
from vllm_exporter.clock import SystemClock
from vllm_exporter.config.config import Config
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.web.server import ClientLimits, Server, listen

SCRAPE_GOAL = 50.0  # milliseconds
AGE_GOAL = 15.0  # seconds; older samples would be dropped
SECONDS = 20.0  # longer than it takes to notice
PAUSE = 0.05
NEVER = threading.Event()


class _Hangs(Collector):
    """Waits for what never comes."""

    metrics = (Family("vllm_benchmark_hangs", "gauge", "Never there."),)

    def collect(self) -> Iterator[Row]:
        NEVER.wait()
        yield self.metrics[0].sample(1)


def measure(directory: Path) -> list[Figure]:
    config = Config(state_dir=str(directory / "hung"))
    classes = enabled(load_collectors(), config)
    port = free_port()
    log = LogLines()
    app = App(Context(config), {**classes, "hangs": _Hangs}, log)
    server = Server(listen(f"127.0.0.1:{port}"), app.answer, SystemClock(), ClientLimits())
    thread = threading.Thread(target=server.serve, name="server")
    thread.start()
    app.start()
    durations, age = _watch(app, port)
    server.stop()
    thread.join()
    app.stop()
    return [
        Figure("scrape_with_hung_collectors_milliseconds", "ms", tuple(durations), SCRAPE_GOAL),
        Figure("age_of_others_with_hung_collectors_seconds", "s", (age,), AGE_GOAL),
    ]


def _watch(app: App, port: int) -> tuple[list[float], float]:
    """Milliseconds of each scrape; and how old what `system`, says was at most."""
    scraper = Scraper(port)
    durations: list[float] = []
    oldest, began = 0.0, time.time()
    while time.time() - began < SECONDS:
        durations.append(scraper.scrape() * 1e3)
        worked = next(view.worked_wall for view in app.views() if view.name == "system")
        oldest = max(oldest, time.time() - (worked or began))
        time.sleep(PAUSE)
    scraper.close()
    return durations, oldest

"""Puts the exporter together: collectors in their threads, one page of metrics, a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from vllm_exporter import collectors, pages, plugins
from vllm_exporter.collector import Collector, Context
from vllm_exporter.config import Config
from vllm_exporter.errors import ConfigError
from vllm_exporter.family import Sample
from vllm_exporter.http1 import Request, Response
from vllm_exporter.log import Log, log
from vllm_exporter.names import (
    EXPORTER_COLLECTOR_DURATION_SECONDS,
    EXPORTER_COLLECTOR_ERRORS_TOTAL,
    EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS,
    EXPORTER_COLLECTOR_NO_DATA,
    EXPORTER_COLLECTOR_SUCCESS,
)
from vllm_exporter.render import Renderer
from vllm_exporter.runner import Runner, View

Collectors = Mapping[str, type[Collector]]

STOP_SECONDS = 2.0  # for all collectors together to end; one that hangs is left behind and dies with the process


class App:
    """The running exporter, without its server."""

    def __init__(self, context: Context, classes: Collectors, log: Log = log) -> None:
        self.config = context.config
        self._clock = context.clock
        self._renderer = Renderer()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._runners = tuple(
            Runner(name, partial(cls, context), cls, context.clock, self.config.stale_after, log)
            for name, cls in classes.items()
        )

    def start(self) -> None:
        """Starts a thread for each collector."""
        self._run(lambda runner: runner.run_until(self._stop))

    def stop(self) -> None:
        """Ends the collectors and closes them, in at most STOP_SECONDS."""
        self._stop.set()
        self._join(STOP_SECONDS)

    def run_once(self, seconds: float) -> None:
        """Runs every collector once, all at the same time; one that takes longer than `seconds` is left behind."""
        self._run(Runner.run_and_close)
        self._join(seconds)

    def views(self) -> tuple[View, ...]:
        return tuple(runner.view() for runner in self._runners)

    def metrics(self) -> bytes:
        """The text of /metrics, of what the collectors said last. Waits for none of them."""
        views = self.views()
        return self._renderer.render(sample for view in views for sample in (*view.samples, *status_samples(view)))

    def answer(self, request: Request) -> Response:
        return pages.answer(request, self)

    def _run(self, body: Callable[[Runner], None]) -> None:
        for runner in self._runners:
            thread = threading.Thread(target=body, args=(runner,), name=f"collector-{runner.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _join(self, seconds: float) -> None:
        deadline = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))


def load_collectors() -> dict[str, type[Collector]]:
    """All collectors there are, by name."""
    return plugins.load(collectors, Collector)


def collector_names() -> tuple[str, ...]:
    """The same names, without importing a collector."""
    return plugins.module_names(collectors)


def enabled(classes: Collectors, config: Config) -> dict[str, type[Collector]]:
    """Those that run: what the configuration says, else the collector's own default. Raises ConfigError."""
    unknown = sorted(set(config.collectors) - set(classes))
    if unknown:
        raise ConfigError(f"unknown collector {unknown[0]!r}; known: {', '.join(sorted(classes))}")
    return {name: cls for name, cls in classes.items() if config.collectors.get(name, cls.default_enabled)}


def status_samples(view: View) -> Iterator[Sample]:
    """What the exporter says of a collector. Before its first run ends there is only the count of errors."""
    yield EXPORTER_COLLECTOR_ERRORS_TOTAL.sample(view.errors, collector=view.name)
    if view.result == "not_run":
        return
    yield EXPORTER_COLLECTOR_SUCCESS.sample(view.result != "failed", collector=view.name)
    yield EXPORTER_COLLECTOR_NO_DATA.sample(view.result == "no_data", collector=view.name)
    yield EXPORTER_COLLECTOR_DURATION_SECONDS.sample(view.duration, collector=view.name)
    if view.worked_wall is not None:
        yield EXPORTER_COLLECTOR_LAST_SUCCESS_TIMESTAMP_SECONDS.sample(view.worked_wall, collector=view.name)

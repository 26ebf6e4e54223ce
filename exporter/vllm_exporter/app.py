"""Puts the exporter together: collectors in their threads, one page of metrics, a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from vllm_exporter import plugins, subjects
from vllm_exporter.config.config import CollectorConfig, Config
from vllm_exporter.errors import ConfigError, PluginError
from vllm_exporter.log import Log, log
from vllm_exporter.metrics.gzip import Piece
from vllm_exporter.metrics.render import Format, render
from vllm_exporter.metrics.series import SeriesCache
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.run.cpu_budget import PERIOD, CpuBudget
from vllm_exporter.run.runner import Runner, View
from vllm_exporter.run.schedule import ScrapeTimes
from vllm_exporter.run.scheduler import Scheduler
from vllm_exporter.run.status import STATUS, status_rows
from vllm_exporter.web import pages
from vllm_exporter.web.http1 import Request, Response

Collectors = Mapping[str, type[Collector]]

LOOK_SECONDS = 2.0  # between two checks whether a collector keeps the others waiting
STOP_SECONDS = 2.0  # for all collectors together to end; one that hangs is left behind and dies with the process


class App:
    """The running exporter, without its HTTP server."""

    def __init__(self, context: Context, classes: Collectors, log: Log = log) -> None:
        self.config = context.config
        self.board, self.recent = context.board, pages.Recent(context.bus.subscribe())
        self.clock = context.clock
        self._log = log
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._scrapes = ScrapeTimes()
        self._status = SeriesCache(STATUS)
        self._runners = tuple(
            Runner(name, cls, context, log, self._scrapes, interval(self.config, name, cls))
            for name, cls in classes.items()
        )
        self._scheduler = Scheduler(self._runners, context.clock, log)

    def start(self) -> None:
        """Starts the collectors, and a thread that looks after them."""
        self._scheduler.start()
        self._start(self._look_after, "look-after")

    def stop(self) -> None:
        """Ends the collectors and closes them, in at most STOP_SECONDS."""
        self._stop.set()
        self._scheduler.stop(STOP_SECONDS)

    def run_once(self, seconds: float) -> None:
        """Runs every collector once, those of one turn at the same time. A collector that takes longer than its turn's
        share of `seconds` is left behind."""
        turns = sorted({runner.turn for runner in self._runners})
        for turn in turns:
            self._threads.clear()
            for runner in self._runners:
                if runner.turn == turn:
                    self._start(runner.run_and_close, f"collector-{runner.name}")
            self._join(seconds / len(turns))

    def views(self) -> tuple[View, ...]:
        return tuple(runner.view() for runner in self._runners)

    def metrics(self, text_format: Format = "text") -> list[Piece]:
        """Returns the text of /metrics from the collectors' last samples. Waits for none of them."""
        views = self.views()
        blocks = [view.block for view in views if view.block is not None]
        return render([*blocks, self._status.block(status_rows(views, time.process_time()))], text_format)

    def answer(self, request: Request) -> Response:
        if request.path == "/metrics":
            self._scrapes.saw(self.clock.monotonic())
        return pages.answer(request, self)

    def _look_after(self) -> None:
        budget, due = CpuBudget(self.config.cpu_budget), self.clock.monotonic() + PERIOD
        while not self._stop.wait(LOOK_SECONDS):
            self._scheduler.relieve()
            if self.clock.monotonic() < due:
                continue
            due += PERIOD
            spent = [(runner, runner.view().cpu) for runner in self._runners]
            done = budget.adjust(self.clock.monotonic(), time.process_time(), spent)
            if done:
                self._log("info", "intervals adjusted", reason=done)

    def _start(self, body: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)  # one that could not be started cannot be waited for

    def _join(self, seconds: float) -> None:
        deadline = self.clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self.clock.monotonic()))


def load_collectors() -> dict[str, type[Collector]]:
    """Returns every collector class by its name."""
    return plugins.load(subjects, Collector)


def collector_names() -> tuple[str, ...]:
    """Returns the names of all collectors without importing one."""
    return tuple(plugins.find_modules(subjects, Collector))


def enabled(classes: Collectors, config: Config) -> dict[str, type[Collector]]:
    """Returns the collectors that run: as the configuration says, else by each collector's own default.

    Raises ConfigError for an unknown collector, or a section that cannot be used.
    """
    unknown = sorted(set(config.collectors) - set(classes))
    if unknown:
        raise ConfigError(f"unknown collector {unknown[0]!r}; known: {', '.join(sorted(classes))}")
    chosen = {name: cls for name, cls in classes.items() if _enabled(config.collectors.get(name), cls)}
    _check_owners(chosen)
    for name, cls in chosen.items():
        cls.check(config, name)
    return chosen


def interval(config: Config, name: str, cls: type[Collector]) -> float:
    """Returns the seconds between two runs."""
    return config.collectors.get(name, CollectorConfig()).interval or cls.interval


def _enabled(given: CollectorConfig | None, cls: type[Collector]) -> bool:
    return cls.default_enabled if given is None or given.enabled is None else given.enabled


def _check_owners(classes: Collectors) -> None:
    """Raises PluginError if two collectors declare one family: its samples must stand together in the text."""
    owners: dict[str, str] = {family.name: "the exporter itself" for family in STATUS}
    for name, cls in classes.items():
        for family in cls.metrics:
            if family.name in owners:
                raise PluginError(f"{family.name} is declared by {owners[family.name]} and by {name}; rename one")
            owners[family.name] = name

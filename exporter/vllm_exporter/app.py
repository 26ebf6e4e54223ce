"""Puts the exporter together: collectors in their threads, one page of metrics, a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from vllm_exporter import plugins, subjects
from vllm_exporter.config.config import CollectorConfig, Config
from vllm_exporter.errors import ConfigError, PluginError
from vllm_exporter.log import Log, log
from vllm_exporter.metrics.gzip import Piece
from vllm_exporter.metrics.render import Format, render
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.run.cpu_budget import PERIOD, Pace
from vllm_exporter.run.kernel_thread import STUCK_SECONDS, Wheel
from vllm_exporter.run.runner import Runner, View
from vllm_exporter.run.status import STATUS, Status
from vllm_exporter.web import pages
from vllm_exporter.web.http1 import Request, Response

Collectors = Mapping[str, type[Collector]]

STOP_SECONDS = 2.0  # for all collectors together to end; one that hangs is left behind and dies with the process


class App:
    """The running exporter, without its server."""

    def __init__(self, context: Context, classes: Collectors, log: Log = log) -> None:
        self.config = context.config
        self.board, self.recent = context.board, pages.Recent(context.bus.tap())
        self.clock = self._clock = context.clock
        self._log = log
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._status = Status()
        self._runners = tuple(self._runner(name, cls, context) for name, cls in classes.items())
        self._wheel = Wheel((one for one in self._runners if not one.blocking), self._clock, self._stop)
        self._pace = Pace(self.config.cpu_budget)

    def start(self) -> None:
        """Starts a thread for each collector that may block, one for all others, and one that looks after both."""
        for runner in self._runners:
            if runner.blocking:
                self._start(partial(runner.run_until, self._stop), f"collector-{runner.name}")
        self._start(self._wheel.run, "collectors")
        self._start(self._look_after, "care")

    def stop(self) -> None:
        """Ends the collectors and closes them, in at most STOP_SECONDS."""
        self._stop.set()
        self._join(STOP_SECONDS)

    def run_once(self, seconds: float) -> None:
        """Runs every collector once, those of a turn at the same time. One that takes longer than its turn's share of
        `seconds` is left behind."""
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
        """The text of /metrics, of what the collectors said last. Waits for none of them."""
        views = self.views()
        blocks = [block for view in views for block in view.blocks]
        return render([*blocks, self._status.block(views, time.process_time())], text_format)

    def answer(self, request: Request) -> Response:
        return pages.answer(request, self)

    def _runner(self, name: str, cls: type[Collector], context: Context) -> Runner:
        seconds = interval(self.config, name, cls)
        return Runner(name, partial(cls, context), cls, self._clock, self.config.stale_after, self._log, seconds)

    def _look_after(self) -> None:
        """Relieves a wheel that hangs, and keeps the exporter within its budget."""
        due = self._clock.monotonic()
        while not self._stop.wait(STUCK_SECONDS / 2):
            self._relieve_wheel()
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + PERIOD
                self._adjust_pace()

    def _relieve_wheel(self) -> None:
        try:
            hangs = self._wheel.relieve(self._start)
        except RuntimeError as error:  # what Thread.start raises where a limit of processes is reached
            self._log("error", "collector hangs and the others wait for a thread; tried again", reason=error)
            return
        if hangs:
            self._log("error", "collector hangs; the others go on in a new thread", collector=hangs)

    def _adjust_pace(self) -> None:
        spent = [(runner, runner.view().cpu) for runner in self._runners]
        done = self._pace.adjust(self._clock.monotonic(), time.process_time(), spent)
        if done:
            self._log("info", "intervals adjusted", reason=done)

    def _start(self, body: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)  # one that could not be started cannot be waited for

    def _join(self, seconds: float) -> None:
        deadline = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))


def load_collectors() -> dict[str, type[Collector]]:
    """All collectors there are, by name."""
    return plugins.load(subjects, Collector)


def collector_names() -> tuple[str, ...]:
    """The same names, without importing a collector."""
    return tuple(plugins.find_modules(subjects, Collector))


def enabled(classes: Collectors, config: Config) -> dict[str, type[Collector]]:
    """Those that run: what the configuration says, else the collector's own default.

    Raises ConfigError when one is not known, or its section cannot be used.
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
    """Seconds between two runs."""
    return config.collectors.get(name, CollectorConfig()).interval or cls.interval


def _enabled(given: CollectorConfig | None, cls: type[Collector]) -> bool:
    return cls.default_enabled if given is None or given.enabled is None else given.enabled


def _check_owners(classes: Collectors) -> None:
    """Raises PluginError: the samples of a family must stand together in the text, so they come from one collector."""
    owners: dict[str, str] = {family.name: "the exporter itself" for family in STATUS}
    for name, cls in classes.items():
        for family in cls.metrics:
            if family.name in owners:
                raise PluginError(f"{family.name} is declared by {owners[family.name]} and by {name}; rename one")
            owners[family.name] = name

"""Runs one collector and keeps its samples, so that a scrape never waits for it."""

from __future__ import annotations

import time
from functools import partial
from typing import Literal, NamedTuple

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.log import Log
from vllm_exporter.metrics.family import Sample
from vllm_exporter.metrics.series import Block, SeriesCache
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.run.schedule import ScrapeTimes, next_due, next_for_scrape

RunResult = Literal["not_run", "ok", "no_data", "failed"]

REPEAT_LOG_SECONDS = 300.0  # a collector that goes on failing is logged this often: a run is every second or so


class RunState(NamedTuple):
    """The last results of a collector. Its thread replaces it as a whole; times are monotonic unless noted."""

    result: RunResult = "not_run"  # of the last finished run
    detail: str = ""  # why there is no data, or what failed
    duration: float = 0.0  # of the last finished run, in seconds
    block: Block | None = None  # of the last run that worked
    worked_at: float = 0.0  # when that run finished
    worked_wall: float | None = None  # the same in Unix time; None: never
    started: float | None = None  # of the run in progress
    errors: int = 0
    cpu: float = 0.0  # seconds of all its runs, without threads of its own


class View(NamedTuple):
    """A collector as a scrape sees it."""

    name: str
    result: RunResult  # a run that hangs counts as failed
    detail: str
    duration: float
    block: Block | None  # None when it is stale
    worked_wall: float | None
    errors: int
    cpu: float = 0.0
    interval: float = 1.0

    @property
    def samples(self) -> tuple[Sample, ...]:
        return () if self.block is None else tuple(self.block.samples())


class Runner:
    """Runs one collector. It is made at its first run; if that fails, the others go on, and the next run retries."""

    def __init__(
        self,
        name: str,
        cls: type[Collector],
        context: Context,
        log: Log,
        scrapes: ScrapeTimes,
        interval: float | None = None,
    ) -> None:
        self.name = name
        self.base_interval = interval or cls.interval  # as configured
        self.interval = self.base_interval  # as it runs: longer while the exporter is too expensive
        self.for_scrapes, self.turn = cls.for_scrapes, cls.turn
        self._make = partial(cls, context)
        self._cache = SeriesCache(cls.metrics)
        self._clock = context.clock
        self._stale_after = context.config.stale_after
        self._scrapes = scrapes
        self._log = log
        self._collector: Collector | None = None
        self._state = RunState()
        self._logged_at = 0.0

    def view(self) -> View:
        """Returns the view, to any thread at once: one reference is read, no lock is taken."""
        return choose_view(self.name, self._state, self._clock.monotonic(), self.interval, self._stale_after)

    def run_once(self) -> None:
        """Collects once and keeps the values or the failure. Raises nothing."""
        started, cpu = self._clock.monotonic(), time.thread_time()
        before = self._state
        self._state = before._replace(started=started)
        after = self._collect(before)
        finished = self._clock.monotonic()
        if after.result != "failed":
            after = after._replace(worked_at=finished, worked_wall=self._clock.wall())
        spent = before.cpu + time.thread_time() - cpu
        self._state = after._replace(duration=finished - started, started=None, cpu=spent)
        self._tell(before, after, finished)

    def run_and_close(self) -> None:
        self.run_once()
        self.close()

    def close(self) -> None:
        if self._collector is None:
            return
        try:
            self._collector.close()
        except Exception as error:  # noqa: BLE001 - a collector that cannot be closed must not keep the others from it
            self._log("warning", "collector was not closed", collector=self.name, reason=describe(error))

    def next_due(self, due: float, now: float) -> float:
        """Returns when it runs next; `due` is when this run was due."""
        if self.for_scrapes:
            return next_for_scrape(due, now, self.interval, self._scrapes)
        return next_due(due, now, self.interval)

    def _collect(self, before: RunState) -> RunState:
        try:
            if self._collector is None:
                self._collector = self._make()
            block = self._cache.block(self._collector.collect())
        except NoData as nothing:
            return before._replace(result="no_data", detail=str(nothing), block=None)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a collector raises, the others go on
            return before._replace(result="failed", detail=describe(error), errors=before.errors + 1)
        return before._replace(result="ok", detail="", block=block)

    def _tell(self, before: RunState, after: RunState, now: float) -> None:
        """Logs a change of the result, and a lasting failure every REPEAT_LOG_SECONDS."""
        if after.result == before.result and (after.result != "failed" or now - self._logged_at < REPEAT_LOG_SECONDS):
            return
        self._logged_at = now
        if after.result == "failed":
            self._log("error", "collector failed", collector=self.name, reason=after.detail, errors=after.errors)
        elif after.result == "no_data":
            self._log("info", "collector has no data", collector=self.name, reason=after.detail)
        elif before.result != "not_run":
            self._log("info", "collector works again", collector=self.name)


def choose_view(name: str, state: RunState, now: float, interval: float, stale_after: float) -> View:
    """Returns the view of a state that a scrape at `now` shows.

    A block lives one interval, in which no newer one can be, plus `stale_after`. A run in progress for longer than that
    counts as failed.
    """
    limit = interval + stale_after
    running = now - state.started if state.started is not None else 0.0
    hangs = running > limit
    return View(
        name=name,
        result="failed" if hangs else state.result,
        detail=f"has been running for {running:.0f} s" if hangs else state.detail,
        duration=running if hangs else state.duration,
        block=state.block if now - state.worked_at <= limit else None,
        worked_wall=state.worked_wall,
        errors=state.errors,
        cpu=state.cpu,
        interval=interval,
    )


def describe(error: BaseException) -> str:
    """Returns the message of a SourceError; other errors with their type and the line that raised them."""
    if isinstance(error, SourceError):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return f"{type(error).__name__}: {error}{where}"

"""Runs one collector and keeps what it said, so that a scrape never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.log import Log
from vllm_exporter.metrics.family import Block, Sample
from vllm_exporter.metrics.series import Arranger
from vllm_exporter.ports import Clock
from vllm_exporter.run.collector import Collector

Result = Literal["not_run", "ok", "no_data", "failed"]

REPEAT_LOG_SECONDS = 300.0  # a collector that goes on failing is logged this often: a run is every second or so


class State(NamedTuple):
    """What is known of a collector. Replaced as a whole, by the thread that runs it; times are monotonic or said."""

    result: Result = "not_run"  # of the last finished run
    detail: str = ""  # why there is no data, or what failed
    duration: float = 0.0  # of the last finished run, in seconds
    blocks: tuple[Block, ...] = ()  # of the last run that worked
    worked_at: float = 0.0  # when that run finished
    worked_wall: float | None = None  # the same in Unix time; None: never
    started: float | None = None  # of the run in progress
    errors: int = 0
    cpu: float = 0.0  # seconds of all its runs, without threads of its own


class View(NamedTuple):
    """A collector as a scrape sees it."""

    name: str
    result: Result  # a run that hangs counts as failed
    detail: str
    duration: float
    blocks: tuple[Block, ...]  # none when they are stale
    worked_wall: float | None
    errors: int
    cpu: float = 0.0
    interval: float = 1.0

    @property
    def samples(self) -> tuple[Sample, ...]:
        return tuple(sample for block in self.blocks for sample in block.samples())


class Runner:
    """One collector, made at its first run: one that cannot even be made fails alone, and is made again at the next."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Collector],
        cls: type[Collector],
        clock: Clock,
        stale_after: float,
        log: Log,
        interval: float | None = None,
    ) -> None:
        self.name = name
        self.base_interval = interval or cls.interval  # as configured
        self.interval = self.base_interval  # as it runs: longer while the exporter is too expensive
        self.patient, self.blocking, self._idle = cls.patient, cls.blocking, cls.idle
        self.turn = cls.turn
        self._make = make
        self._arranger = Arranger(cls.metrics)
        self._clock = clock
        self._stale_after = stale_after
        self._log = log
        self._collector: Collector | None = None
        self._state = State()
        self._logged_at = 0.0

    def view(self) -> View:
        """From any thread, at once: one reference is read, no lock is taken."""
        return choose_view(self.name, self._state, self._clock.monotonic(), self.pause, self._stale_after)

    @property
    def pause(self) -> float:
        """Seconds to the next run: the interval, or more while there is nothing to see."""
        idle = self._idle if self._state.result == "no_data" else 0.0
        rest = self._collector.rest if self._collector is not None else 0.0
        return max(self.interval, idle, rest)

    def run_once(self) -> None:
        """Collects, and keeps the samples or the failure. Raises nothing."""
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

    def run_until(self, stop: threading.Event) -> None:
        """Runs it every interval until `stop`, then closes it. The body of its thread."""
        due = self._clock.monotonic()
        while not stop.is_set():
            self.run_once()
            now = self._clock.monotonic()
            due = next_due(due, now, self.pause)
            stop.wait(due - now)
        self.close()

    def close(self) -> None:
        if self._collector is None:
            return
        try:
            self._collector.close()
        except Exception as error:  # noqa: BLE001 - a collector that cannot be closed must not keep the others from it
            self._log("warning", "collector was not closed", collector=self.name, reason=describe(error))

    def _collect(self, before: State) -> State:
        try:
            if self._collector is None:
                self._collector = self._make()
            blocks = self._arranger.arrange(self._collector.collect())
        except NoData as nothing:
            return before._replace(result="no_data", detail=str(nothing), blocks=())
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a collector raises, the others go on
            return before._replace(result="failed", detail=describe(error), errors=before.errors + 1)
        return before._replace(result="ok", detail="", blocks=blocks)

    def _tell(self, before: State, after: State, now: float) -> None:
        """Logs a change, and a lasting failure now and then."""
        if after.result == before.result and (after.result != "failed" or now - self._logged_at < REPEAT_LOG_SECONDS):
            return
        self._logged_at = now
        if after.result == "failed":
            self._log("error", "collector failed", collector=self.name, reason=after.detail, errors=after.errors)
        elif after.result == "no_data":
            self._log("info", "collector has no data", collector=self.name, reason=after.detail)
        elif before.result != "not_run":
            self._log("info", "collector works again", collector=self.name)


def choose_view(name: str, state: State, now: float, interval: float, stale_after: float) -> View:
    """What a scrape at `now` shows of a state.

    Blocks live one interval, in which they are the newest there can be, plus `stale_after`. A run in progress for
    longer than that counts as failed.
    """
    limit = interval + stale_after
    running = now - state.started if state.started is not None else 0.0
    hangs = running > limit
    return View(
        name=name,
        result="failed" if hangs else state.result,
        detail=f"has been running for {running:.0f} s" if hangs else state.detail,
        duration=running if hangs else state.duration,
        blocks=state.blocks if now - state.worked_at <= limit else (),
        worked_wall=state.worked_wall,
        errors=state.errors,
        cpu=state.cpu,
        interval=interval,
    )


def next_due(due: float, now: float, interval: float) -> float:
    """The first time after `now` on the grid of `due`: no drift; a slow run skips turns, they do not pile up."""
    return due + interval * max(1, int((now - due) // interval) + 1)


def describe(error: BaseException) -> str:
    """The exporter's own errors in their words; others with their type and the line that raised them."""
    if isinstance(error, SourceError):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
    return f"{type(error).__name__}: {error}{where}"

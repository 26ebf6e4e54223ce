"""The one thread that writes: callers hand it jobs, and those that wait together share a transaction and its fsync."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine

from vllm_healer.errors import JournalError
from vllm_healer.journal.store import changes, journal_errors

T = TypeVar("T")

# More than the web server has threads; a bound so that one transaction stays short.
BATCH = 64


@dataclass
class _Job:
    """Work for one caller. `run` may be called twice: again, alone, when a neighbour spoiled the shared transaction."""

    run: Callable[[Connection], object]
    done: Future[object] = field(default_factory=Future)


class Writer:
    """Runs jobs in order of arrival. When `submit` returns, what the job wrote is on the disk."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.commits = 0  # grows after each transaction that changed something, before its callers hear of it
        self.on_error: Callable[[], None] = lambda: None  # called for each job that was not written
        self._engine = engine
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Connection], T], timeout: float | None = None) -> T:
        """The job's result; its error is raised. Raises JournalError when it was not written in `timeout` seconds."""
        job = _Job(run)
        with self._gate:
            if not self._open:
                raise JournalError(f"journal {self._path} is closed; the healer is ending")
            self._jobs.put(job)
        try:
            return job.done.result(timeout)  # type: ignore[return-value]  # the Future carries what `run` returned
        except FutureTimeout:
            job.done.cancel()
            self.on_error()
            words = f"not written within {timeout:g} s; its disk is too slow or hangs"
            raise JournalError(f"journal {self._path}: {words}") from None
        except JournalError:
            self.on_error()
            raise

    def close(self) -> None:
        """Ends the thread after the jobs that are waiting. May be called twice."""
        with self._gate:
            if self._open:
                self._jobs.put(None)
            self._open = False
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._commit([job for job in batch if job.done.set_running_or_notify_cancel()])

    def _next_batch(self) -> list[_Job]:
        """The jobs that wait now, after waiting for the first; none at the end."""
        batch: list[_Job] = []
        while len(batch) < BATCH and (not batch or not self._jobs.empty()):
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)  # found again after this batch
                break
            batch.append(job)
        return batch

    def _commit(self, batch: list[_Job]) -> None:
        """Runs the jobs in one transaction; if that fails, each alone, so that nobody pays for another's error."""
        try:
            results, changed = self._transact(batch)
        except Exception as error:  # noqa: BLE001 - each job's caller gets it, in its own thread
            if len(batch) > 1:
                for job in batch:
                    self._commit([job])
            elif batch:
                batch[0].done.set_exception(error)
        else:
            self.commits += changed
            for job, result in zip(batch, results, strict=True):
                job.done.set_result(result)

    def _transact(self, batch: list[_Job]) -> tuple[list[object], bool]:
        """The jobs' results, and whether they changed anything."""
        with journal_errors(self._path), self._engine.begin() as connection:
            before = changes(connection)
            return [job.run(connection) for job in batch], changes(connection) != before

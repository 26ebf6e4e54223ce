"""The one thread that writes: callers hand it jobs, and those that wait together share a transaction and its fsync."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine

from vllm_healer.errors import JournalError
from vllm_healer.journal.store import changes, journal_errors

A = TypeVar("A")
T = TypeVar("T")

# More than the web server has threads; a bound so that one transaction stays short.
BATCH = 64


@dataclass
class _Job(Generic[T]):
    """Work for one caller: what is `given` to `run`, with what others give to the same, if they wait together.

    It may be run twice: again, alone, when a neighbour spoiled the shared transaction.
    """

    run: Callable[[Connection, Sequence[Any]], Sequence[T]]
    given: object = None
    done: Future[T] = field(default_factory=Future)


class Writer:
    """Runs jobs in order of arrival. When `submit` returns, what the job wrote is on the disk."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.commits = 0  # grows after each transaction that changed something, before its callers hear of it
        self.on_error: Callable[[], None] = lambda: None  # called for each job that was not written
        self._engine = engine
        self._path = path
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Connection], T], timeout: float | None = None) -> T:
        """The job's result; its error is raised. Raises JournalError when it was not written in `timeout` seconds."""
        return self._wait(_Job(lambda connection, _: [run(connection)]), timeout)

    def submit_together(
        self, run: Callable[[Connection, Sequence[A]], Sequence[T]], given: A, timeout: float | None = None
    ) -> T:
        """Submits what is given to `run`, at once with what waits for the same; each caller has its own result."""
        return self._wait(_Job(run, given), timeout)

    def _wait(self, job: _Job[T], timeout: float | None) -> T:
        with self._gate:
            if not self._open:
                raise JournalError(f"journal {self._path} is closed; the healer is ending")
            self._jobs.put(job)
        try:
            return job.done.result(timeout)
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

    def _next_batch(self) -> list[_Job[Any]]:
        """The jobs that wait now, after waiting for the first; none at the end."""
        batch: list[_Job[Any]] = []
        while len(batch) < BATCH and (not batch or not self._jobs.empty()):
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)  # found again after this batch
                break
            batch.append(job)
        return batch

    def _commit(self, batch: list[_Job[Any]]) -> None:
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

    def _transact(self, batch: list[_Job[Any]]) -> tuple[list[object], bool]:
        """The jobs' results, and whether they changed anything."""
        with journal_errors(self._path), self._engine.begin() as connection:
            before = changes(connection)
            return _run(connection, batch), changes(connection) != before


def _run(connection: Connection, batch: list[_Job[Any]]) -> list[object]:
    """The jobs' results, in their order. Those of one kind are done where the first of them stands."""
    kinds: dict[object, list[_Job[Any]]] = {}
    for job in batch:
        kinds.setdefault(job.run, []).append(job)
    results: dict[int, object] = {}
    for jobs in kinds.values():
        answers = jobs[0].run(connection, [job.given for job in jobs])
        results |= {id(job): answer for job, answer in zip(jobs, answers, strict=True)}
    return [results[id(job)] for job in batch]

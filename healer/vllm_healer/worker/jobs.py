"""The worker's jobs by name: one of a name at a time, and how long each has been running."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait

from vllm_healer.errors import HealerError

log = logging.getLogger(__name__)

# Seconds that no job takes, if all that it asks keeps to its timeout: an incident's step is at most a look (45 s), the
# supervisor twice, Alertmanager and Prometheus (25 s), an action (60 s) and the last call of it (60 s).
LIMIT = 240.0


class Jobs:
    """Gives jobs to an executor. `boot` is a clock in seconds, `after` is called when one has ended, in its thread."""

    def __init__(self, executor: Executor, boot: Callable[[], float], after: Callable[[], None]) -> None:
        self._executor = executor
        self._boot = boot
        self._after = after
        self._futures: dict[str, Future[None]] = {}
        self._begun: dict[str, tuple[float, float]] = {}  # since when, and for how long at most
        self._told: set[str] = set()

    def submit(self, name: str, job: Callable[[], None], limit: float = LIMIT) -> None:
        """Runs one job of a name at a time: a slow server delays its own next look and nobody else's.

        After `limit` seconds it is overdue.
        """
        self._futures = {known: future for known, future in self._futures.items() if not future.done()}
        if not self.busy(name):
            self._futures[name] = self._executor.submit(self._run, name, job, limit)

    def busy(self, name: str) -> bool:
        """True if a job of that name has not come back."""
        future = self._futures.get(name)
        return future is not None and not future.done()

    def overdue(self) -> dict[str, float]:
        """The jobs that have run for longer than they may, with their seconds. Each is logged once."""
        now, begun = self._boot(), list(self._begun.items())
        found = {name: now - since for name, (since, limit) in begun if now - since > limit}
        for name in found.keys() - self._told:
            log.error("%s: has run for %.0f s, longer than all its timeouts; see HealerStuck", name, found[name])
        self._told = set(found)
        return found

    def wait(self, seconds: float) -> None:
        """Takes back what has not begun, and waits for what has."""
        wait([future for future in list(self._futures.values()) if not future.cancel()], seconds)

    def _run(self, name: str, job: Callable[[], None], limit: float) -> None:
        self._begun[name] = self._boot(), limit
        try:
            job()
        except HealerError as error:
            log.error("%s: %s", name, error)
        except Exception:  # the boundary: a defect in one incident must not end the others; it is logged whole
            log.exception("%s: a defect of the healer; this incident is left alone for now", name)
        finally:
            del self._begun[name]
            self._after()

"""Prunes the journal in a thread of its own, in small steps with rests between them: webhooks come first."""

from __future__ import annotations

import logging
import threading

from vllm_healer.errors import HealerError
from vllm_healer.journal import Journal
from vllm_healer.ports import Clock
from vllm_healer.retention import Retention

log = logging.getLogger(__name__)

FIRST = 600.0  # seconds after the start: until then a host that was just booted has its time from the network
EVERY = 3600.0  # seconds between two rounds; a day more or less of history harms nobody
REST = 0.1  # seconds between two steps of a few milliseconds: 2,000 rows a second, and the disk is nearly free


class Pruner:
    """Owns the thread and the timetable; what may go is the journal's to know."""

    def __init__(self, journal: Journal, clock: Clock, retention: Retention) -> None:
        self._journal = journal
        self._clock = clock
        self._retention = retention
        self._removed = 0  # rows in this round
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruner", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Lets the step in hand end."""
        self._stop.set()

    def step(self) -> float:
        """Removes a few rows or gives a little space back; returns the seconds to rest after it."""
        removed = self._journal.prune(self._clock.now(), self._retention)
        self._removed += removed
        if removed or self._journal.give_back():
            return REST
        if self._removed:
            log.info("pruned the journal: %d rows that were over and old enough", self._removed)
        self._removed = 0
        return EVERY

    def _run(self) -> None:
        rest = FIRST
        while not self._stop.wait(rest):
            try:
                rest = self.step()
            except HealerError as error:
                log.warning("the journal is not pruned: %s; trying again in %.0f s", error, EVERY)
                rest = EVERY
            except Exception:  # the boundary: a journal that grows is better than none
                log.exception("the journal is not pruned: a defect of the healer; trying again in %.0f s", EVERY)
                rest = EVERY

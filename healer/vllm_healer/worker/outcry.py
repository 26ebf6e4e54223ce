"""Tells a person by the healer's own channel when alerts cannot travel, until the message was delivered."""

from __future__ import annotations

from vllm_healer.elapsed import elapsed
from vllm_healer.model import Instant
from vllm_healer.worker.deps import Deps

WATCHDOG_MISSING = 300.0  # seconds without Prometheus' Watchdog before a person is told


class Outcry:
    """Tells of a missing Watchdog once. The outage that took it often takes the way to the channel, too."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._seen: Instant = deps.clock.now()  # when the Watchdog was there last
        self._noted = False  # it is in the journal
        self._told = False  # a person has it
        self._late = ""  # words about an outage that ended before a person could be told

    def watchdog(self, missing: str) -> None:
        """Hears in each round why the Watchdog is missing; '' when it is there."""
        now = self._deps.clock.now()
        seconds = elapsed(self._seen, now)
        if not missing:
            if self._noted and not self._told:
                self._late = f"the Watchdog alert is back; it was missing for {seconds:.0f} s, and nobody could be told"
            self._seen, self._noted, self._told = now, False, False
        elif seconds >= WATCHDOG_MISSING and not self._told:
            words = f"no Watchdog alert for {seconds:.0f} s: {missing}; the healer takes no action until it is back"
            self._told = self._deps.tell(words)  # first: the journal's disk may be what is broken
            if self._told:
                self._late = ""
            self._note(words, now)
        if self._late and self._deps.tell(self._late):
            self._late = ""

    def _note(self, words: str, now: Instant) -> None:
        if not self._noted:
            self._noted = True
            self._deps.journal.note(None, "note", words, now)

"""Writes what happened to an incident, once to the journal and once to the log; remembers what was said last."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from vllm_healer.model import Incident, IncidentState, Instant, Look, Plan
from vllm_healer.names import plain_name
from vllm_healer.printable import gist
from vllm_healer.worker.deps import Deps

log = logging.getLogger("vllm_healer.worker")

REPEAT_WORDS = 300.0  # the same finding is written again after this many seconds, so that the journal stays readable
CHANGE_WORDS = 15.0  # the same finding for another reason is written after this many: history shows the present one


@dataclass
class Scratch:
    """Notes on an incident between two steps; all of them can be lost without harm."""

    plan: Plan | None = None
    before: Look | None = None
    finding: tuple[str, str] = "", ""  # the cause and the remediation that were found last
    said: str = ""
    gist: str = ""  # of the words that were said
    said_at: float = 0.0
    starts: dict[float, Instant] = field(default_factory=dict)  # the supervisor's starts, and when each was first seen


class Recorder:
    """The worker's pen. One thread at a time writes about an incident."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._memories: dict[int, Scratch] = {}

    def memory(self, incident: Incident) -> Scratch:
        return self._memories.setdefault(incident.id, Scratch())

    def forget(self, incident_id: int) -> None:
        self._memories.pop(incident_id, None)

    def finding(self, incident: Incident, key: str, words: str, kind: str = "diagnosis") -> None:
        """Writes a finding when its `key` or its reason is new or was last written long ago; the same is found every
        few seconds."""
        memory, now = self.memory(incident), self._deps.clock.now()
        rest = REPEAT_WORDS if memory.gist == gist(words) else CHANGE_WORDS
        if memory.said == key and now.boot - memory.said_at < rest:
            return
        memory.said, memory.gist, memory.said_at = key, gist(words), now.boot
        self.note(incident, kind, words)

    def note(self, incident: Incident, kind: str, words: str) -> None:
        """Writes a sentence, unless the incident was closed while its step was under way: that had the last word."""
        if self._deps.journal.note_open(incident.id, kind, words, self._deps.clock.now()):
            log.info("incident=%d server=%s %s: %s", incident.id, plain_name(incident.server), kind, words)

    def state(
        self, incident: Incident, state: IncidentState, words: str, expected: IncidentState | None = None
    ) -> None:
        """Moves the incident on; not if it is no longer in the `expected` state, since somebody else moved it."""
        if self._deps.journal.set_state(incident.id, state, words, self._deps.clock.now(), expected):
            server = plain_name(incident.server)
            log.info("incident=%d server=%s state=%s: %s", incident.id, server, state.value, words)

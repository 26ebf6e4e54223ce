"""The values that the journal hands out beside those of model.py."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_healer.model import Alert, IncidentState, Instant, Permit, Result


@dataclass(frozen=True)
class Entry:
    """One sentence of the history; entries are only ever added."""

    id: int
    at: float  # seconds since the epoch
    incident: int | None  # None: it belongs to no incident
    kind: str  # alert, incident, diagnosis, plan, refusal, intent, step, result, verdict, lesson, pause, resume, note
    words: str  # one line
    data: dict[str, object]


@dataclass(frozen=True)
class StoredAlert(Alert):
    """An alert as the journal holds it. `firing` is what was heard last, a later 'resolved' included."""

    id: int
    received: Instant  # when it was first heard
    deliveries: int  # how often a webhook brought it; 0: it was only read from Alertmanager


@dataclass(frozen=True)
class Recorded:
    """Counts what came of alerts that were heard."""

    stored: int  # heard for the first time, again, or as resolved
    left_out: int  # firing ones for which there was no room: of servers that are not listed, or too many of one


@dataclass(frozen=True)
class Unfinished:
    """An action whose verification has not ended; a restarted healer carries it on."""

    permit: Permit
    steps: tuple[str, ...]  # taken so far, in order
    result: Result | None  # None: it was still being carried out


@dataclass(frozen=True)
class IncidentSummary:
    """An incident in one line. Its times are in seconds since the epoch."""

    id: int
    server: str
    state: IncidentState
    cause: str  # '' while none was found
    remediation: str
    opened: float
    closed: float | None  # None: it is open
    needs_person: bool  # it failed, and nobody has seen the server work since or has acknowledged it
    refused: str  # of an open one without an action: the reason of the last refusal; '' without one

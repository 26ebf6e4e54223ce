"""One failure of one server: how it ends, judged from what was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from deploy.demo.failures import DemoFailure
from deploy.demo.seen import Alert, JournalEntry, Seen
from deploy.demo.world import Server

_CLOSED = ("healed", "failed", "resolved", "")


class End(StrEnum):
    """The end of a scene."""

    HEALED = "healed"
    ITSELF = "came back by itself"
    PERSON = "needs a person"
    LEFT = "left alone"
    TIMEOUT = "did not end in time"


@dataclass(frozen=True)
class Scene:
    """`fault` is the moment in seconds since the epoch, `pid` the API server's before it."""

    failure: DemoFailure
    server: Server
    fault: float
    pid: int = 0

    def after(self, moment: float) -> float:
        """Returns the seconds since the fault."""
        return max(0.0, moment - self.fault)

    def alerts(self, seen: Seen) -> tuple[Alert, ...]:
        """Returns the alerts that fire since the fault, with a second of doubt: Alertmanager has another clock."""
        return tuple(alert for alert in seen.alerts if alert.since >= self.fault - 1)


def ending(scene: Scene, seen: Seen) -> End | None:
    """Returns how the scene ended, or None while it must still be watched."""
    over = scene.after(seen.at) >= scene.failure.limit
    if scene.failure.ends == "left":
        return _left(scene, seen, over)
    state = seen.incident_state
    if state == "failed" and (over or scene.failure.ends == "person"):
        return End.PERSON
    closed = state in _CLOSED or (state == "open" and verified(seen.entries))
    if closed and back(scene, seen) and scene.failure.ends != "person":
        if acted(seen.entries):
            return End.HEALED if state != "failed" else None
        return End.ITSELF if scene.failure.ends == "itself" else None
    return End.TIMEOUT if over else None


def expected(scene: Scene, end: End) -> bool:
    """True if it ended as the list of failures says."""
    return (
        end is {"healed": End.HEALED, "itself": End.ITSELF, "person": End.PERSON, "left": End.LEFT}[scene.failure.ends]
    )


def acted(entries: Iterable[JournalEntry]) -> bool:
    """True if the healer wrote an intent, so that it did something."""
    return any(entry.kind == "intent" for entry in entries)


def verified(entries: Iterable[JournalEntry]) -> bool:
    """True if the last action worked. The incident of ended orphans stays open until their alert is over."""
    last = [entry for entry in entries if entry.kind in ("intent", "verdict")][-1:]
    return any(entry.kind == "verdict" and "recovered" in entry.words for entry in last)


def until_verified(entries: tuple[JournalEntry, ...]) -> tuple[JournalEntry, ...]:
    """Returns the entries up to the verdict on the last action, if it worked: late alerts lead to more of them."""
    if not verified(entries):
        return entries
    verdict = max(entry.id for entry in entries if entry.kind == "verdict")
    return tuple(entry for entry in entries if entry.id <= verdict)


def back(scene: Scene, seen: Seen) -> bool:
    """True if another process than before the failure answers."""
    return seen.pid not in (0, scene.pid) and seen.answers


def _left(scene: Scene, seen: Seen, over: bool) -> End | None:
    failure = scene.failure
    if acted(seen.entries):
        return End.TIMEOUT if over else End.HEALED if seen.incident_state == "healed" else None
    explained = not failure.proof or failure.proof in seen.kinds()
    watched = explained and scene.after(seen.at) >= failure.hold
    return End.LEFT if watched or over else None

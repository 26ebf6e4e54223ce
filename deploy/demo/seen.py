"""Values: what the demo knows of a server at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HEALED = "VllmHealed"  # the alert that tells people afterwards
_PAGE = ("Unhealed", "HealerNeedsPerson")  # how the names of alerts end that tell people of what nothing heals


@dataclass(frozen=True)
class Alert:
    """One active alert of the server. Times are seconds since the epoch."""

    name: str
    since: float

    @property
    def is_page(self) -> bool:
        """True if it is for people, and not for the healer."""
        return self.name.endswith(_PAGE)


@dataclass(frozen=True)
class JournalEntry:
    """One sentence of the healer's journal."""

    id: int
    at: float
    incident: int | None
    kind: str
    words: str
    state: str = ""  # of the incident, where the sentence changed it


@dataclass(frozen=True)
class Seen:
    """One look at one server."""

    at: float  # seconds since the epoch
    samples: Mapping[str, float] = field(default_factory=dict)  # family -> value, as Prometheus has it
    probe: str = ""  # result of the exporter's last look at /health
    alerts: tuple[Alert, ...] = ()
    entries: tuple[JournalEntry, ...] = ()  # of the server's incidents, oldest first
    pid: int = 0  # of its API server, as supervisord has it; 0: none
    answers: bool = False  # 200 from /health just now, while Prometheus may be a scrape behind

    def value(self, family: str) -> float:
        """Returns 0 for a family without a value: 0 means that all is well in every family that is asked here."""
        return self.samples.get(family, 0.0)

    @property
    def incident_state(self) -> str:
        """The state of the newest incident; '' without one."""
        return next((entry.state for entry in reversed(self.entries) if entry.state), "")

    @property
    def incident(self) -> int | None:
        """The incident in which something was done, else the newest."""
        done = (entry.incident for entry in reversed(self.entries) if entry.kind == "intent")
        return next(done, next((entry.incident for entry in reversed(self.entries)), None))

    def kinds(self) -> frozenset[str]:
        return frozenset(entry.kind for entry in self.entries)

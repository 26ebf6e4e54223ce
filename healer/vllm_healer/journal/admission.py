"""Admission decides which alerts are held: of listed servers nearly all, of others a few, who so delay nobody.

An alert that is left out is lost for the history only: the healer acts on no server that is not listed, and asks
Alertmanager itself about those that are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, bindparam, func, select

from vllm_healer.journal import schema
from vllm_healer.journal.schema import alerts, incidents
from vllm_healer.model import Alert, IncidentState

# Rows that wait for an incident. Above it a server that is not listed has to wait for Alertmanager's next repetition.
WAITING = 200
OF_STRANGER = 5  # alerts held of a server that is not listed: enough to say what is wrong with it
OF_SERVER = 50  # alerts held of a listed server, beside those that support an action
OF_NAME = 10  # alerts held of a listed server by one name that supports an action: several Prometheus may send it
CLOSED = (IncidentState.HEALED, IncidentState.FAILED, IncidentState.RESOLVED)
SERVERS = 500  # asked for at once: below every database's limit of bound values

_HELD = (
    select(incidents.c.server, alerts.c.name, func.count())
    .where(
        incidents.c.server.in_(bindparam("servers", expanding=True)),
        incidents.c.state.not_in(CLOSED),
        alerts.c.incident == incidents.c.id,
        alerts.c.firing.is_(True),
        alerts.c.over.is_(False),
    )
    .group_by(incidents.c.server, alerts.c.name)
)
_WAITING = select(func.count()).select_from(alerts).where(schema.waiting)


@dataclass(frozen=True)
class Admission:
    """Names the servers that the healer knows. Without it every server counts as listed, and none has a bound."""

    listed: frozenset[str] | None = None
    telling: frozenset[str] = frozenset()  # names of alerts that support an action


@dataclass
class Room:
    """Counts what is held while alerts are admitted in one transaction."""

    admission: Admission
    connection: Connection
    servers: Iterable[str]  # of the alerts that will ask
    waiting: int = 0
    held: dict[str, Counter[str]] = field(default_factory=dict)  # of a server, by name of the alert

    def __post_init__(self) -> None:
        self.waiting = count_waiting(self.connection)

    def take(self, alert: Alert) -> bool:
        """True if there is room for one more firing alert; it counts from now on."""
        listed = self.admission.listed
        if listed is None:
            return True
        if alert.server not in listed and (not alert.server or self.waiting >= WAITING):
            return False  # without a look at the disk for each
        held = self._held(alert.server)
        if alert.server not in listed:
            free = held.total() < OF_STRANGER
        elif alert.name in self.admission.telling:
            free = held[alert.name] < OF_NAME
        else:
            others = sum(count for name, count in held.items() if name not in self.admission.telling)
            # What is for people alone opens no incident, and so waits however long it fires.
            free = others < OF_SERVER and self.waiting < WAITING + OF_SERVER * len(listed)
        held[alert.name] += free
        self.waiting += free
        return free

    def _held(self, server: str) -> Counter[str]:
        """Counts what is held of a server; the first question has it read of all."""
        if server not in self.held:
            asked = sorted({server, *self.servers})
            self.held |= {one: Counter() for one in asked}
            for start in range(0, len(asked), SERVERS):
                rows = self.connection.execute(_HELD, {"servers": asked[start : start + SERVERS]})
                for one, name, held in rows:
                    self.held[one][name] = held
        return self.held[server]


def shortened(alert: Alert, admission: Admission) -> Alert:
    """The alert with what is read of it: of servers that are not listed nothing but name and server."""
    if admission.listed is None or alert.server in admission.listed:
        return alert
    kept = ("alertname", "server", "severity")
    return replace(alert, labels={name: value for name, value in alert.labels.items() if name in kept})


def count_waiting(connection: Connection) -> int:
    return int(connection.scalar(_WAITING) or 0)

"""Sentences of the history about alerts that were heard for the first time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import BindParameter, Connection, bindparam, select

from vllm_healer.journal import entries
from vllm_healer.journal.schema import alerts
from vllm_healer.model import Alert, Instant
from vllm_healer.names import plain_name

# A notification with more new alerts than this is a storm: one sentence tells of it, the rows have the rest.
SENTENCES = 20

_FINGERPRINTS: BindParameter[str] = bindparam("fingerprints", expanding=True)
_INCIDENTS = (
    select(alerts.c.fingerprint, alerts.c.incident)
    .where(alerts.c.fingerprint.in_(_FINGERPRINTS), alerts.c.firing.is_(True))
    .order_by(alerts.c.id)
)


def tell(connection: Connection, notifications: Sequence[Sequence[Alert]], now: Instant) -> None:
    """Adds a sentence for each new alert; of a storm, one for all of its notification."""
    single = [alert for new in notifications if len(new) <= SENTENCES for alert in new]
    resolved = [alert.fingerprint for alert in single if not alert.firing]
    ended = _incidents_of(connection, resolved) if resolved else {}
    told: list[tuple[int | None, str, Mapping[str, object]]] = [
        (None if alert.firing else ended.get(alert.fingerprint), sentence(alert), {"labels": alert.labels})
        for alert in single
    ]
    storms: list[tuple[int | None, str, Mapping[str, object]]] = [
        (None, _storm(new), {}) for new in notifications if len(new) > SENTENCES
    ]
    entries.append_all(connection, "alert", [*told, *storms], now)


def _storm(new: Sequence[Alert]) -> str:
    names = ", ".join(f"{name} x{count}" for name, count in Counter(alert.name for alert in new).most_common(5))
    return f"{len(new)} alerts came at once: {names}"


def _incidents_of(connection: Connection, fingerprints: list[str]) -> dict[str, int | None]:
    """The incidents that the newest firing rows of these belong to."""
    rows = connection.execute(_INCIDENTS, {"fingerprints": fingerprints})
    return {row.fingerprint: row.incident for row in rows}


def sentence(alert: Alert) -> str:
    """`VllmDown on gpu1:8000 fires: no answer from the server`."""
    subject = f"{alert.name} on {plain_name(alert.server)}" if alert.server else alert.name
    if not alert.firing:
        return f"{subject} is resolved"
    summary = alert.annotations.get("summary", "")
    return f"{subject} fires: {summary}" if summary else f"{subject} fires"

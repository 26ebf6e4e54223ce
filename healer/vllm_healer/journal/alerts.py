"""Alerts as they were heard: one row per firing period and status, however often Alertmanager repeats it.

Whether an alert fires now is what was heard last of it. A firing delivery after a 'resolved' of the same period is not
a stale copy: Alertmanager resolves what Prometheus stopped sending, and takes it up again with the old start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection, Row, Update, insert, select, update

from vllm_healer.journal import entries, schema
from vllm_healer.journal.admission import CLOSED, Admission, Room, shortened
from vllm_healer.journal.bounds import bounded
from vllm_healer.journal.codec import texts_from_json, to_json
from vllm_healer.journal.schema import alerts, incidents
from vllm_healer.journal.values import Recorded, StoredAlert
from vllm_healer.model import Alert, Instant, Standing
from vllm_healer.names import plain_name

T = TypeVar("T")
Key = tuple[str, str, bool]  # fingerprint, period, firing

# Below every database's limit of bound values (SQLite before 3.32: 999).
CHUNK = 500
# A notification with more new alerts than this is a storm: one sentence tells of it, the rows have the rest.
SENTENCES = 20
# Of one incident. What fires is bounded by `admission`; of what has ended the newest are enough.
MEMBERS = 200


def record(connection: Connection, heard: Sequence[Alert], now: Instant, admission: Admission) -> Recorded:
    """Inserts what is new, counts what is not, and notes which firing ones are over. Strangers find little room."""
    admitted = _admit(connection, heard, admission)
    if admitted:
        _record(connection, admitted, now)
    firing = sum(alert.firing for alert in heard) - sum(alert.firing for alert in admitted)
    return Recorded(stored=len(admitted), left_out=firing)


def _record(connection: Connection, heard: Sequence[Alert], now: Instant) -> None:
    known = _known(connection, {alert.fingerprint for alert in heard})
    new = _unknown(heard, known)
    _insert(connection, new, now)
    _count(connection, {known[key] for key in map(_key, heard) if key in known})
    latest = {alert.fingerprint: alert for alert in heard}.values()
    _take_up_again(connection, [known[_key(alert)] for alert in latest if alert.firing and _key(alert) in known])
    _end(connection, [alert for alert in latest if not alert.firing])
    _tell(connection, new, now)


def assign(
    connection: Connection, incident: int, members: Iterable[Alert], now: Instant, admission: Admission
) -> tuple[Alert, ...]:
    """Makes alerts part of an incident and returns those that have joined. What was never delivered (it was read from
    Alertmanager) is inserted where there is room."""
    firing = [bounded(alert) for alert in members if alert.firing]
    known = _known(connection, {alert.fingerprint for alert in firing})
    room = Room(admission, connection)
    new = [alert for alert in _unknown(firing, known) if room.take(alert)]
    _insert(connection, new, now, deliveries=0)
    known = _known(connection, {alert.fingerprint for alert in firing})
    joined = {known[_key(alert)]: alert for alert in firing if _key(alert) in known}
    _update(connection, update(alerts).values(incident=incident), list(joined))
    return tuple(joined.values())


def unassigned(connection: Connection) -> tuple[StoredAlert, ...]:
    """The firing alerts that belong to no incident, oldest first."""
    rows = connection.execute(select(alerts).where(schema.waiting).order_by(alerts.c.id))
    return tuple(_stored(row) for row in rows)


def of_incident(connection: Connection, incident: int) -> tuple[StoredAlert, ...]:
    """The incident's alerts, oldest first: those that fire, and the newest that resolved since."""
    members = select(alerts).where(alerts.c.incident == incident, alerts.c.firing.is_(True))
    rows = connection.execute(members.order_by(alerts.c.over, alerts.c.id.desc()).limit(MEMBERS)).all()
    return tuple(sorted((_stored(row) for row in rows), key=lambda alert: alert.id))


def _admit(connection: Connection, heard: Sequence[Alert], admission: Admission) -> list[Alert]:
    """The alerts that are held already, and those for which there is room, bounded in size. The end of a stranger's
    alert that is not held is nothing to keep."""
    alike = [shortened(bounded(alert), admission) for alert in heard]
    if admission.listed is None:
        return alike
    held = _held(connection, {alert.fingerprint for alert in alike})
    fingerprints = {fingerprint for fingerprint, _, _ in held}
    room = Room(admission, connection)
    admitted: list[Alert] = []
    for alert in alike:
        if alert.firing:
            taken = _key(alert) in held or room.take(alert)
            held |= {_key(alert)} if taken else set()
        else:
            taken = alert.server in admission.listed or alert.fingerprint in fingerprints
        if taken:
            admitted.append(alert)
            fingerprints.add(alert.fingerprint)
    return admitted


def _held(connection: Connection, fingerprints: set[str]) -> set[Key]:
    """The keys of firing rows of these fingerprints that are not over."""
    columns = (alerts.c.fingerprint, alerts.c.period, alerts.c.firing)
    firing = select(*columns).where(alerts.c.firing.is_(True), alerts.c.over.is_(False))
    return {
        (row.fingerprint, row.period, row.firing)
        for chunk in _chunks(sorted(fingerprints))
        for row in connection.execute(firing.where(alerts.c.fingerprint.in_(chunk)))
    }


def _key(alert: Alert) -> Key:
    return alert.fingerprint, period(alert.starts_at), alert.firing


def period(starts_at: str) -> str:
    """One text for one start: Alertmanager's webhook writes nanoseconds in any zone, its API milliseconds."""
    try:
        return datetime.fromisoformat(starts_at).astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return starts_at


def _known(connection: Connection, fingerprints: set[str]) -> dict[Key, int]:
    """The rows of these fingerprints, by key."""
    columns = (alerts.c.id, alerts.c.fingerprint, alerts.c.period, alerts.c.firing)
    rows = (
        row
        for chunk in _chunks(sorted(fingerprints))
        for row in connection.execute(select(*columns).where(alerts.c.fingerprint.in_(chunk)))
    )
    return {(row.fingerprint, row.period, row.firing): row.id for row in rows}


def _unknown(heard: Sequence[Alert], known: dict[Key, int]) -> list[Alert]:
    """The alerts without a row, each once."""
    return list({_key(alert): alert for alert in heard if _key(alert) not in known}.values())


def _chunks(values: list[T]) -> Iterator[list[T]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def _insert(connection: Connection, new: list[Alert], now: Instant, deliveries: int = 1) -> None:
    received = schema.instant_values("received", now)
    rows = [{**_columns(alert), **received, "deliveries": deliveries} for alert in new]
    if rows:
        connection.execute(insert(alerts), rows)


def _columns(alert: Alert) -> dict[str, object]:
    return {
        "fingerprint": alert.fingerprint,
        "period": period(alert.starts_at),
        "starts_at": alert.starts_at,
        "firing": alert.firing,
        "over": False,
        "name": alert.name,
        "labels": to_json(alert.labels),
        "annotations": to_json(alert.annotations),
        "incident": None,
    }


def _count(connection: Connection, rows: set[int]) -> None:
    _update(connection, update(alerts).values(deliveries=alerts.c.deliveries + 1), sorted(rows))


def _take_up_again(connection: Connection, rows: list[int]) -> None:
    """Notes that they fire, still or again. What had ended leaves a closed incident, so that it is looked at anew."""
    ended = update(alerts).where(alerts.c.over.is_(True))
    closed = select(incidents.c.id).where(incidents.c.state.in_(CLOSED))
    _update(connection, ended.where(alerts.c.incident.in_(closed)).values(incident=None), rows)
    _update(connection, ended.values(over=False), rows)


def _update(connection: Connection, statement: Update, rows: list[int]) -> None:
    for chunk in _chunks(rows):
        connection.execute(statement.where(alerts.c.id.in_(chunk)))


def _end(connection: Connection, resolved: list[Alert]) -> None:
    """Notes that they ended. Alertmanager holds one alert per fingerprint, so its end ends every period of it."""
    over = update(alerts).where(alerts.c.firing.is_(True)).values(over=True)
    for chunk in _chunks([alert.fingerprint for alert in resolved]):
        connection.execute(over.where(alerts.c.fingerprint.in_(chunk)))


def _tell(connection: Connection, new: list[Alert], now: Instant) -> None:
    if len(new) > SENTENCES:
        names = ", ".join(f"{name} x{count}" for name, count in Counter(alert.name for alert in new).most_common(5))
        entries.append(connection, None, "alert", f"{len(new)} alerts came at once: {names}", now)
        return
    for alert in new:
        incident = _incident_of(connection, alert)
        entries.append(connection, incident, "alert", sentence(alert), now, {"labels": alert.labels})


def _incident_of(connection: Connection, alert: Alert) -> int | None:
    """The incident that the firing row of a resolved alert belongs to."""
    query = select(alerts.c.incident).where(alerts.c.fingerprint == alert.fingerprint, alerts.c.firing.is_(True))
    return None if alert.firing else connection.scalars(query.order_by(alerts.c.id.desc()).limit(1)).first()


def sentence(alert: Alert) -> str:
    """`VllmDown on gpu1:8000 fires: no answer from the server`."""
    subject = f"{alert.name} on {plain_name(alert.server)}" if alert.server else alert.name
    if not alert.firing:
        return f"{subject} is resolved"
    summary = alert.annotations.get("summary", "")
    return f"{subject} fires: {summary}" if summary else f"{subject} fires"


def _stored(row: Row[tuple[object, ...]]) -> StoredAlert:
    columns = row._mapping
    return StoredAlert(
        fingerprint=columns["fingerprint"],
        name=columns["name"],
        firing=not columns["over"],
        starts_at=columns["starts_at"],
        labels=texts_from_json(columns["labels"]),
        annotations=texts_from_json(columns["annotations"]),
        id=columns["id"],
        received=schema.read_instant(row, "received"),
        deliveries=columns["deliveries"],
        standing=Standing.SENT if columns["deliveries"] and not columns["over"] else Standing.UNKNOWN,
    )

"""Alerts as they were heard: one row per firing period and status, however often Alertmanager repeats it.

Whether an alert fires now is what was heard last of it. A firing delivery after a 'resolved' of the same period is not
a stale copy: Alertmanager resolves what Prometheus stopped sending, and takes it up again with the old start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import BindParameter, Connection, Row, Update, and_, bindparam, func, insert, or_, select, update

from vllm_healer.journal import schema
from vllm_healer.journal.admission import CLOSED, Admission, Room, shortened
from vllm_healer.journal.bounds import bounded
from vllm_healer.journal.codec import texts_from_json, to_json
from vllm_healer.journal.schema import alerts, incidents
from vllm_healer.journal.sentences import tell
from vllm_healer.journal.values import Recorded, StoredAlert
from vllm_healer.model import Alert, Instant, Standing

T = TypeVar("T")
Key = tuple[str, str, bool]  # fingerprint, period, firing

# Twice as many, for fingerprints and periods, are below every database's limit of bound values (SQLite
# before 3.32: 999).
CHUNK = 400
# Of one incident. What fires is bounded by `admission`; of what has ended the newest are enough.
MEMBERS = 200

# Statements that each webhook needs are made once: to put one together takes longer than to run it.
_ROWS: BindParameter[int] = bindparam("rows", expanding=True)
_FINGERPRINTS: BindParameter[str] = bindparam("fingerprints", expanding=True)
_INSERT = insert(alerts)
_KNOWN = select(alerts.c.id, alerts.c.fingerprint, alerts.c.period, alerts.c.firing, alerts.c.over).where(
    alerts.c.fingerprint.in_(_FINGERPRINTS),
    or_(
        alerts.c.period.in_(bindparam("periods", expanding=True)),
        and_(alerts.c.firing.is_(True), alerts.c.over.is_(False)),
    ),
)
_COUNT = update(alerts).where(alerts.c.id.in_(_ROWS)).values(deliveries=alerts.c.deliveries + 1)
_ENDED = update(alerts).where(alerts.c.id.in_(_ROWS), alerts.c.over.is_(True))
_LEAVE_CLOSED = _ENDED.where(alerts.c.incident.in_(select(incidents.c.id).where(incidents.c.state.in_(CLOSED)))).values(
    incident=None
)
_FIRE_AGAIN = _ENDED.values(over=False)
_END = update(alerts).where(alerts.c.firing.is_(True), alerts.c.fingerprint.in_(_FINGERPRINTS)).values(over=True)
_place = func.row_number().over(partition_by=alerts.c.incident, order_by=(alerts.c.over, alerts.c.id.desc()))
_ranked = (
    select(alerts, _place.label("place")).where(alerts.c.incident.in_(_ROWS), alerts.c.firing.is_(True)).subquery()
)
_MEMBERS = select(_ranked).where(_ranked.c.place <= bindparam("most")).order_by(_ranked.c.id)


class _Known(NamedTuple):
    """A row that an alert may be a repetition of."""

    id: int
    holds: bool  # it fires and is not over


def record(
    connection: Connection, notifications: Sequence[Sequence[Alert]], now: Instant, admission: Admission
) -> list[Recorded]:
    """Inserts what is new, counts what is not, and notes which firing ones are over. Strangers find little room.

    Notifications that wait together are recorded together, in their order: a statement costs the same for one and for
    many, and while other threads compute each is a wait.
    """
    alike = [[shortened(bounded(alert), admission) for alert in heard] for heard in notifications]
    known = _known(connection, [alert for heard in alike for alert in heard])
    admitted = _admit(connection, alike, known, admission)
    if any(admitted):
        _record(connection, admitted, known, now)
    return [
        Recorded(
            stored=len(taken), left_out=sum(alert.firing for alert in heard) - sum(alert.firing for alert in taken)
        )
        for heard, taken in zip(notifications, admitted, strict=True)
    ]


def _record(
    connection: Connection, notifications: Sequence[Sequence[Alert]], known: Mapping[Key, _Known], now: Instant
) -> None:
    heard = [alert for each in notifications for alert in each]
    new = _unknown(heard, known)
    _insert(connection, new, now)
    _update(connection, _COUNT, sorted({known[key].id for key in map(_key, heard) if key in known}))
    latest = {alert.fingerprint: alert for alert in heard}.values()
    _take_up_again(connection, [known[_key(alert)].id for alert in latest if alert.firing and _key(alert) in known])
    for chunk in _chunks([alert.fingerprint for alert in latest if not alert.firing]):
        # Alertmanager holds one alert per fingerprint, so its end ends every period of it.
        connection.execute(_END, {"fingerprints": chunk})
    tell(connection, _by_notification(notifications, new), now)


def assign(
    connection: Connection, incident: int, members: Iterable[Alert], now: Instant, admission: Admission
) -> tuple[Alert, ...]:
    """Makes alerts part of an incident and returns those that have joined. What was never delivered (it was read from
    Alertmanager) is inserted where there is room."""
    firing = [bounded(alert) for alert in members if alert.firing]
    known = _known(connection, firing)
    unknown = _unknown(firing, known)
    room = Room(admission, connection, [alert.server for alert in unknown])
    new = [alert for alert in unknown if room.take(alert)]
    if new:
        _insert(connection, new, now, deliveries=0)
        known = _known(connection, firing)
    joined = {known[_key(alert)].id: alert for alert in firing if _key(alert) in known}
    _update(connection, update(alerts).where(alerts.c.id.in_(_ROWS)).values(incident=incident), list(joined))
    return tuple(joined.values())


def unassigned(connection: Connection) -> tuple[StoredAlert, ...]:
    """The firing alerts that belong to no incident, oldest first."""
    rows = connection.execute(select(alerts).where(schema.waiting).order_by(alerts.c.id))
    return tuple(_stored(row) for row in rows)


def of_incidents(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[StoredAlert, ...]]:
    """The alerts of each of these incidents, oldest first: those that fire, and the newest that resolved since."""
    found: dict[int, list[StoredAlert]] = {incident: [] for incident in ids}
    for chunk in _chunks(list(ids)):
        for row in connection.execute(_MEMBERS, {"rows": chunk, "most": MEMBERS}):
            found[row._mapping["incident"]].append(_stored(row))
    return {incident: tuple(members) for incident, members in found.items()}


def _admit(
    connection: Connection, notifications: list[list[Alert]], known: Mapping[Key, _Known], admission: Admission
) -> list[list[Alert]]:
    """The alerts of each that are held already, and those for which there is room. The end of a stranger's alert that
    is not held is nothing to keep."""
    listed = admission.listed
    if listed is None:
        return notifications
    held = {key for key, row in known.items() if row.holds}
    fingerprints = {fingerprint for fingerprint, _, _ in held}
    asking = (alert for heard in notifications for alert in heard if alert.firing and _key(alert) not in held)
    room = Room(admission, connection, [alert.server for alert in asking])

    def take(alert: Alert) -> bool:
        if not alert.firing:
            return alert.server in listed or alert.fingerprint in fingerprints
        taken = _key(alert) in held or room.take(alert)
        if taken:
            held.add(_key(alert))
            fingerprints.add(alert.fingerprint)
        return taken

    return [[alert for alert in heard if take(alert)] for heard in notifications]


def _key(alert: Alert) -> Key:
    return alert.fingerprint, period(alert.starts_at), alert.firing


def period(starts_at: str) -> str:
    """One text for one start: Alertmanager's webhook writes nanoseconds in any zone, its API milliseconds."""
    try:
        return datetime.fromisoformat(starts_at).astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return starts_at


def _known(connection: Connection, heard: Sequence[Alert]) -> dict[Key, _Known]:
    """The rows of these alerts' periods, and those of their fingerprints that fire, by key."""
    found: dict[Key, _Known] = {}
    for chunk in _chunks(list(heard)):
        keys = {(alert.fingerprint, period(alert.starts_at)) for alert in chunk}
        given = {"fingerprints": sorted({one for one, _ in keys}), "periods": sorted({start for _, start in keys})}
        for row, fingerprint, start, firing, over in connection.execute(_KNOWN, given):
            found[fingerprint, start, firing] = _Known(row, firing and not over)
    return found


def _unknown(heard: Sequence[Alert], known: Mapping[Key, _Known]) -> list[Alert]:
    """The alerts without a row, each once."""
    return list({_key(alert): alert for alert in heard if _key(alert) not in known}.values())


def _chunks(values: list[T]) -> Iterator[list[T]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def _insert(connection: Connection, new: list[Alert], now: Instant, deliveries: int = 1) -> None:
    received = schema.instant_values("received", now)
    rows = [{**_columns(alert), **received, "deliveries": deliveries} for alert in new]
    if rows:
        connection.execute(_INSERT, rows)


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


def _take_up_again(connection: Connection, rows: list[int]) -> None:
    """Notes that they fire, still or again. What had ended leaves a closed incident, so that it is looked at anew."""
    _update(connection, _LEAVE_CLOSED, rows)
    _update(connection, _FIRE_AGAIN, rows)


def _update(connection: Connection, statement: Update, rows: list[int]) -> None:
    for chunk in _chunks(rows):
        connection.execute(statement, {"rows": chunk})


def _by_notification(notifications: Sequence[Sequence[Alert]], new: Sequence[Alert]) -> list[list[Alert]]:
    """The new ones of each notification, each once: where it stands first."""
    left = {_key(alert): alert for alert in new}
    return [[left.pop(_key(alert)) for alert in heard if _key(alert) in left] for heard in notifications]


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

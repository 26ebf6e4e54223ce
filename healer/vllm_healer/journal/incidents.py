"""Incidents: all open alerts of one server together, from the first alert to healed, failed or resolved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from vllm_healer.errors import JournalError
from vllm_healer.journal import alerts, entries, schema
from vllm_healer.journal.admission import Admission
from vllm_healer.journal.schema import actions, incidents
from vllm_healer.model import Alert, Incident, IncidentState, Instant
from vllm_healer.names import plain_name

OPEN = (IncidentState.OPEN, IncidentState.ACTING, IncidentState.VERIFYING)


def open_incident(
    connection: Connection, server: str, members: Iterable[Alert], now: Instant, words: str, admission: Admission
) -> Incident:
    """Opens an incident, or takes the open one of this server: a server has one at most."""
    query = select(incidents.c.id).where(incidents.c.server == server, which_are_open())
    incident = connection.scalars(query).first() or _insert(connection, server, now, words)
    alerts.assign(connection, incident, members, now, admission)
    return get(connection, incident)


def attach(connection: Connection, incident: int, members: Iterable[Alert], now: Instant, admission: Admission) -> None:
    """Adds alerts of the same server, with a sentence that names those for which there was room."""
    server = get(connection, incident).server
    joined = alerts.assign(connection, incident, members, now, admission)
    names = ", ".join(sorted({alert.name for alert in joined}))
    if names:
        entries.append(connection, incident, "alert", f"{names} on {plain_name(server)} joined the incident", now)


def set_state(
    connection: Connection,
    incident: int,
    state: IncidentState,
    words: str,
    now: Instant,
    expected: IncidentState | None = None,
) -> bool:
    """Moves the incident on, with the reason in words. A state that ends it also notes when.

    False, and nothing is written, if it is not in the `expected` state any more.
    """
    if expected is not None and get(connection, incident).state is not expected:
        return False
    closed = {} if state in OPEN else schema.instant_values("closed", now)
    moved = update(incidents).where(incidents.c.id == incident).values(state=state.value, **closed)
    changed = connection.execute(moved)
    if not changed.rowcount:
        raise JournalError(f"there is no incident {incident} in the journal")
    entries.append(connection, incident, "incident", words, now, {"state": state.value})
    return True


def note(connection: Connection, incident: int, kind: str, words: str, now: Instant) -> bool:
    """Adds a sentence about an open incident. False, and nothing is written, if it has ended meanwhile."""
    if not is_open(connection, incident):
        return False
    entries.append(connection, incident, kind, words, now)
    return True


def is_open(connection: Connection, incident: int) -> bool:
    """True if the incident has not ended, or an action of it has no verdict."""
    return (
        connection.scalars(select(incidents.c.id).where(incidents.c.id == incident, which_are_open())).first()
        is not None
    )


def entered(connection: Connection, incident: int) -> Instant:
    """The moment when the incident came into its present state."""
    moved = entries.last(connection, incident, ("incident",))
    return moved[1] if moved is not None else get(connection, incident).opened


def get(connection: Connection, incident: int) -> Incident:
    """The incident. Raises JournalError when there is none with this id."""
    row = connection.execute(select(incidents).where(incidents.c.id == incident)).first()
    if row is None:
        raise JournalError(f"there is no incident {incident} in the journal")
    return _incidents(connection, [row])[0]


def get_open(connection: Connection, incident: int) -> Incident | None:
    """The incident, or None if it has ended."""
    rows = connection.execute(select(incidents).where(incidents.c.id == incident, which_are_open())).all()
    return _incidents(connection, rows)[0] if rows else None


def open_incidents(connection: Connection) -> tuple[Incident, ...]:
    """The incidents that are not closed, oldest first."""
    rows = connection.execute(select(incidents).where(which_are_open()).order_by(incidents.c.id)).all()
    return tuple(_incidents(connection, rows))


def last_closed(connection: Connection, server: str) -> tuple[Incident, Instant] | None:
    """The server's newest closed incident and when it was closed."""
    query = select(incidents).where(incidents.c.server == server, incidents.c.state.not_in(OPEN))
    row = connection.execute(query.order_by(incidents.c.id.desc()).limit(1)).first()
    return None if row is None else (_incidents(connection, [row])[0], schema.read_instant(row, "closed"))


def counts(connection: Connection) -> dict[IncidentState, int]:
    """The number of incidents in each state; every state is there."""
    rows = connection.execute(select(incidents.c.state, func.count().label("incidents")).group_by(incidents.c.state))
    found: dict[str, int] = {row.state: row.incidents for row in rows}
    return {state: found.get(state.value, 0) for state in IncidentState}


def which_are_open() -> ColumnElement[bool]:
    """The condition for an open incident. One whose action has no verdict is open: somebody must free the pool."""
    acting = select(actions.c.incident).where(actions.c.verification.is_(None))
    return or_(incidents.c.state.in_(OPEN), incidents.c.id.in_(acting))


def read_state(word: str) -> IncidentState:
    """The state; one that this release does not know is that of an incident which a person has to look at."""
    try:
        return IncidentState(word)
    except ValueError:
        return IncidentState.FAILED


def _insert(connection: Connection, server: str, now: Instant, words: str) -> int:
    values = {"server": server, "state": IncidentState.OPEN.value, **schema.instant_values("opened", now)}
    incident = int(connection.execute(insert(incidents).values(**values).returning(incidents.c.id)).scalar_one())
    entries.append(connection, incident, "incident", words, now, {"state": IncidentState.OPEN.value})
    return incident


def _incidents(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[Incident]:
    members = alerts.of_incidents(connection, [row._mapping["id"] for row in rows])
    return [
        Incident(
            id=columns["id"],
            server=columns["server"],
            state=read_state(columns["state"]),
            opened=schema.read_instant(row, "opened"),
            alerts=members[columns["id"]],
        )
        for row in rows
        for columns in (row._mapping,)
    ]

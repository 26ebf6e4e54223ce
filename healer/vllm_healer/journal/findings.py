"""Findings: what became known of incidents, such as cause and remedy, and whether a person is needed."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, select, update

from vllm_healer.journal import entries
from vllm_healer.journal.incidents import OPEN, get, read_state
from vllm_healer.journal.schema import findings, incidents
from vllm_healer.journal.values import IncidentSummary
from vllm_healer.model import IncidentState, Instant

# Closed incidents that are looked through for those of listed servers: a storm of strangers' must not cost time.
LOOKED_THROUGH = 200


def note(connection: Connection, incident: int, cause: str, remediation: str, replace: bool = False) -> None:
    """Writes the first cause that is found and the remedy that answers it, and with `replace` a later one."""
    if _get(connection, incident) is None:
        values = {"incident": incident, "cause": cause, "remediation": remediation, "needs_person": False}
        connection.execute(insert(findings).values(**values))
    elif replace:
        _update(connection, findings.c.incident == incident, cause=cause, remediation=remediation)


def follow(connection: Connection, incident: int, state: IncidentState, now: Instant) -> None:
    """Draws the conclusion from an incident's new state: one that failed needs a person, one that is healed nobody."""
    if state is IncidentState.FAILED:
        if _get(connection, incident) is None:
            note(connection, incident, "", "")
        _update(connection, findings.c.incident == incident, needs_person=True)
    elif state is IncidentState.HEALED:
        settle(connection, get(connection, incident).server, f"incident {incident} is healed", now)


def settle(connection: Connection, server: str | None, words: str, now: Instant) -> None:
    """Ends the need of a person for this server, or for all: it works, or a person has acknowledged it."""
    for incident in connection.scalars(_needy(server)).all():
        entries.append(connection, incident, "note", f"no person is needed for it any more: {words}", now)
        _update(connection, findings.c.incident == incident, needs_person=False)


def is_needy(connection: Connection, server: str) -> bool:
    """True if an incident of this server failed and it was not seen to work since."""
    return connection.scalars(_needy(server).limit(1)).first() is not None


def summaries(connection: Connection) -> tuple[IncidentSummary, ...]:
    """The open incidents, the newest closed ones, and those for which a person is needed; oldest first."""
    newest = _rows().where(incidents.c.state.not_in(OPEN)).order_by(incidents.c.id.desc()).limit(LOOKED_THROUGH)
    rows = [
        *connection.execute(newest),
        *connection.execute(_rows().where(incidents.c.state.in_(OPEN))),
        *connection.execute(_rows().where(findings.c.needs_person.is_(True))),
    ]
    found = {row._mapping["id"]: _summary(connection, row) for row in rows}
    return tuple(found[incident] for incident in sorted(found))


def _rows() -> Select[tuple[object, ...]]:
    told = findings.c.cause, findings.c.remediation, findings.c.needs_person
    return select(incidents, *told).select_from(incidents.outerjoin(findings))


def _summary(connection: Connection, row: Row[tuple[object, ...]]) -> IncidentSummary:
    columns = row._mapping
    is_open = columns["state"] in OPEN
    return IncidentSummary(
        id=columns["id"],
        server=columns["server"],
        state=read_state(columns["state"]),
        cause=columns["cause"] or "",
        remediation=columns["remediation"] or "",
        opened=columns["opened_wall"],
        closed=None if is_open else columns["closed_wall"],
        needs_person=bool(columns["needs_person"]),
        refused=_refused(connection, columns["id"]) if columns["state"] == IncidentState.OPEN.value else "",
    )


def _refused(connection: Connection, incident: int) -> str:
    """The reason of the last refusal, unless something was intended since."""
    last = entries.last(connection, incident, ("refusal", "intent"))
    return str(last[0].data.get("reason", "")) if last is not None and last[0].kind == "refusal" else ""


def _needy(server: str | None) -> Select[int]:
    needy: Select[int] = select(findings.c.incident).where(findings.c.needs_person.is_(True))
    if server is None:
        return needy
    return needy.where(findings.c.incident.in_(select(incidents.c.id).where(incidents.c.server == server)))


def _get(connection: Connection, incident: int) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(findings).where(findings.c.incident == incident)).first()


def _update(connection: Connection, which: ColumnElement[bool], **values: object) -> None:
    connection.execute(update(findings).where(which).values(**values))

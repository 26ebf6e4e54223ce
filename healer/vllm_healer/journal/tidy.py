"""Makes what an earlier release has left in the journal small enough to be read in each round, at each start.

Earlier releases held whatever came: alerts of a megabyte, and a hundred thousand that waited for an incident that they
never got. Both are read here one by one and once; what is in order costs one look at an index.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from vllm_healer.journal import schema
from vllm_healer.journal.admission import WAITING, Admission
from vllm_healer.journal.bounds import NAME, TOTAL, VALUE, bounded_labels, cut
from vllm_healer.journal.codec import texts_from_json, to_json
from vllm_healer.journal.incidents import which_are_open
from vllm_healer.journal.schema import alerts, incidents

IDENTITY = 3 * NAME  # characters of fingerprint, start and period; Alertmanager's have 16, 30 and 29
ROWS = 500  # read or changed at once


def tidy(connection: Connection, admission: Admission) -> None:
    """Cuts alerts and incidents that will be read again, and lets strangers beyond the bound wait no longer."""
    _shorten(connection)
    _give_up(connection, list(_excess(connection, admission)))


def _shorten(connection: Connection) -> None:
    servers = update(incidents).where(which_are_open(), func.length(incidents.c.server) > NAME)
    connection.execute(servers.values(server=func.substr(incidents.c.server, 1, NAME)))
    identity = func.length(alerts.c.fingerprint) + func.length(alerts.c.starts_at) + func.length(alerts.c.period)
    _give_up(connection, list(connection.scalars(select(alerts.c.id).where(_is_read(), identity > IDENTITY))))
    large = or_(
        func.length(alerts.c.name) > NAME,
        func.length(alerts.c.annotations) > 2 * VALUE,
        func.length(alerts.c.labels) > 2 * TOTAL,  # JSON has more characters than what it says
    )
    for row in list(connection.scalars(select(alerts.c.id).where(_is_read(), large))):
        _cut(connection, row)


def _is_read() -> ColumnElement[bool]:
    """The condition for alerts that are read in each round."""
    return or_(schema.waiting, alerts.c.incident.in_(select(incidents.c.id).where(which_are_open())))


def _cut(connection: Connection, row: int) -> None:
    one = connection.execute(select(alerts.c.name, alerts.c.labels).where(alerts.c.id == row)).one()
    labels = bounded_labels(texts_from_json(one.labels))
    values = {"name": cut(one.name, NAME), "labels": to_json(labels), "annotations": "{}"}
    connection.execute(update(alerts).where(alerts.c.id == row).values(**values))


def _excess(connection: Connection, admission: Admission) -> Iterator[int]:
    """The rows that wait without hope: of strangers beyond the bound, the oldest, and those that name no server."""
    if admission.listed is None:
        return
    room = WAITING
    waiting = select(alerts.c.id, alerts.c.labels).where(schema.waiting)
    for row in connection.execute(waiting.order_by(alerts.c.id.desc()).execution_options(yield_per=ROWS)):
        server = texts_from_json(row.labels).get("server", "")
        if server in admission.listed:
            continue
        if server and room:
            room -= 1
        else:
            yield row.id


def _give_up(connection: Connection, rows: list[int]) -> None:
    """Marks them as over: they are looked at again when Alertmanager tells of them again and there is room."""
    for start in range(0, len(rows), ROWS):
        part = alerts.c.id.in_(rows[start : start + ROWS])
        connection.execute(update(alerts).where(part).values(over=True))

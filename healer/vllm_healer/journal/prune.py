"""Prunes what is long over: a little at a time, and found by a reader, so that whoever writes waits for moments only.

What an incident says goes once it is old. What was done about it stays longer, counted and not timed: guards and
lessons look at the newest actions of a pool however old they are, and no wall clock that jumps makes them forget one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, delete, exists, func, not_, or_, select

from vllm_healer.journal import schema
from vllm_healer.journal.actions import which_hold_back
from vllm_healer.journal.incidents import which_are_open
from vllm_healer.journal.ledger import ENTRIES
from vllm_healer.journal.schema import actions, alerts, approvals, entries, findings, incidents, steps
from vllm_healer.model import Instant
from vllm_healer.retention import Retention

DAY = 86400.0
ROWS = 200  # of each kind in one transaction: milliseconds, and below every database's limit of bound values


@dataclass(frozen=True)
class Old:
    """Rows of one table that nobody needs any more. `still`: what must hold of them when they are removed."""

    table: Table
    ids: tuple[int, ...]
    still: ColumnElement[bool]


def choose(connection: Connection, now: Instant, retention: Retention) -> tuple[Old, ...]:
    """The rows that may go now, at most ROWS of each kind; what hangs on an incident comes before it."""
    return tuple(old for old in _choose(connection, now, retention) if old.ids)


def remove(connection: Connection, chosen: tuple[Old, ...]) -> int:
    """Removes them, and returns how many rows that were."""
    return sum(_remove(connection, old) for old in chosen)


def _choose(connection: Connection, now: Instant, retention: Retention) -> Iterator[Old]:
    for table, which in _of_none(now, retention):
        query = select(table.c.id).where(which, table.c.incident.is_(None)).order_by(table.c.id)
        yield Old(table, _ids(connection, query), table.c.incident.is_(None))
    over = _over(now, retention)
    for table in (alerts, entries):
        query = select(table.c.id).where(table.c.incident.in_(over))
        yield Old(table, _ids(connection, query), table.c.incident.is_not(None))
    forgotten = select(actions.c.id).where(actions.c.incident.in_(over), actions.c.id.not_in(_remembered()))
    yield Old(actions, _ids(connection, forgotten.where(_not_newest(actions))), actions.c.verification.is_not(None))
    empty = over.where(*(~exists().where(table.c.incident == incidents.c.id) for table in (alerts, entries, actions)))
    yield Old(incidents, _ids(connection, empty.where(_not_newest(incidents))), not_(which_are_open()))


def _of_none(now: Instant, retention: Retention) -> tuple[tuple[Table, ColumnElement[bool]], ...]:
    """The conditions for old rows of no incident. An alert that fires, as far as is known, stays as long as one."""
    days = retention.alerts_days, retention.incidents_days
    alerts_old, alerts_older = (_older(alerts, "received", now, each) for each in days)
    told_old, told_older = (_older(entries, "at", now, each) for each in days)
    return (
        (alerts, or_(and_(alerts_old, not_(schema.waiting)), alerts_older)),
        (entries, or_(and_(told_old, entries.c.kind == "alert"), told_older)),
    )


def _over(now: Instant, retention: Retention) -> Select[int]:
    """The incidents that were closed long ago, of which nothing is under way and nothing holds back."""
    return select(incidents.c.id).where(
        _older(incidents, "closed", now, retention.incidents_days),
        not_(which_are_open()),
        incidents.c.id.not_in(select(findings.c.incident).where(findings.c.needs_person.is_(True))),
        incidents.c.id.not_in(select(actions.c.incident).where(*which_hold_back(None))),
    )


def _remembered() -> Select[int]:
    """The actions that guards are shown, and lessons drawn from."""
    place = func.row_number().over(partition_by=actions.c.pool, order_by=actions.c.id.desc())
    newest = select(actions.c.id, place.label("place")).where(actions.c.destructive.is_(True)).subquery()
    return select(newest.c.id).where(newest.c.place <= ENTRIES)


def _not_newest(table: Table) -> ColumnElement[bool]:
    """The condition for all rows but the newest, whose number would be given again if it were gone."""
    return table.c.id < select(func.max(table.c.id)).scalar_subquery()


def _older(table: Table, name: str, now: Instant, days: float) -> ColumnElement[bool]:
    """The condition for rows whose moment is longer ago: in this boot by its clock, else by the wall's."""
    boot, wall, boot_id = (table.c[f"{name}_{part}"] for part in ("boot", "wall", "boot_id"))
    same = boot_id == now.boot_id
    return or_(and_(same, boot < now.boot - days * DAY), and_(not_(same), wall < now.wall - days * DAY))


def _ids(connection: Connection, query: Select[int]) -> tuple[int, ...]:
    return tuple(connection.scalars(query.limit(ROWS)))


def _remove(connection: Connection, old: Old) -> int:
    if old.table is actions:
        connection.execute(delete(steps).where(steps.c.action.in_(old.ids)))
    elif old.table is incidents:
        for table in (findings, approvals):
            connection.execute(delete(table).where(table.c.incident.in_(old.ids)))
    return connection.execute(delete(old.table).where(old.table.c.id.in_(old.ids), old.still)).rowcount

"""The ledger that guards are shown of earlier actions, and the pause switch."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Row, delete, func, insert, or_, select

from vllm_healer.journal import approvals, codec, entries, maintenance, schema
from vllm_healer.journal.schema import actions, meta, steps
from vllm_healer.ledger import Ledger, LedgerEntry
from vllm_healer.model import STOP_STEP, Instant, Outcome, Plan, Refusal, Verification
from vllm_healer.printable import one_line

Check = Callable[[Ledger], Refusal | None]

# Counted in actions, not hours: no wall clock that jumps can hide one. At the default budget of 3 an hour and server it
# covers the last hour of a pool of 300 servers that all fail.
ENTRIES = 1000
ANYWHERE = 200  # of all servers, for the budget of all: ten times the default's hour
NO_HARM = (Verification.RECOVERED.value, Verification.DROPPED.value)


def read_ledger(connection: Connection, plan: Plan) -> Ledger:
    """The destructive actions in the plan's pool or on its server, newest first, and every unfinished or late one."""
    near = or_(actions.c.pool == plan.pool, actions.c.server == plan.server)
    destructive = select(actions).where(actions.c.destructive.is_(True)).order_by(actions.c.id.desc())
    rows = [
        *connection.execute(destructive.where(near).limit(ENTRIES)),
        *connection.execute(destructive.where(actions.c.verification.is_(None))),
        *connection.execute(destructive.limit(ANYWHERE)),
    ]
    by_action = {row._mapping["id"]: _entry(connection, row) for row in rows}
    newest_first = tuple(by_action[action] for action in sorted(by_action, reverse=True))
    return Ledger(
        paused=paused(connection),
        entries=newest_first,
        approval=approvals.find(connection, plan),
        maintenance=maintenance.begun(connection),
        resumed=resumed(connection),
    )


def pause(connection: Connection, words: str, now: Instant) -> None:
    """Pauses until `resume`, restarts of the healer included."""
    _forget(connection)
    connection.execute(insert(meta).values(key="paused", value=one_line(words) or "paused, no reason given"))
    entries.append(connection, None, "pause", f"paused: {words}", now)


def resume(connection: Connection, words: str, now: Instant) -> None:
    _forget(connection)
    newest = connection.scalars(select(func.max(actions.c.id))).first() or 0
    connection.execute(delete(meta).where(meta.c.key == "resumed"))
    connection.execute(insert(meta).values(key="resumed", value=str(newest)))
    entries.append(connection, None, "resume", f"resumed: {words}", now)


def probe(connection: Connection, size: int, now: Instant) -> None:
    """Writes so many bytes that change: what stays as it is, SQLite does not write."""
    connection.execute(delete(meta).where(meta.c.key == "probe"))
    connection.execute(insert(meta).values(key="probe", value=f"{now.wall!r} {now.boot!r}".ljust(size)))


def paused(connection: Connection) -> str:
    """The words that say who paused it and why; '' when it is not paused."""
    return connection.scalars(select(meta.c.value).where(meta.c.key == "paused")).first() or ""


def resumed(connection: Connection) -> int:
    """The newest action when a person resumed last; 0 when nobody ever did."""
    value = connection.scalars(select(meta.c.value).where(meta.c.key == "resumed")).first() or ""
    return int(value) if value.isdecimal() else 0


def _forget(connection: Connection) -> None:
    connection.execute(delete(meta).where(meta.c.key == "paused"))


def _entry(connection: Connection, row: Row[tuple[object, ...]]) -> LedgerEntry:
    columns = row._mapping
    proven = columns["verification"] == Verification.RECOVERED.value and _outcome(columns["result"]) is Outcome.DONE
    stopped = select(steps.c.id).where(steps.c.action == columns["id"], steps.c.name == STOP_STEP).limit(1)
    return LedgerEntry(
        action=columns["id"],
        server=columns["server"],
        pool=columns["pool"],
        remediation=columns["remediation"],
        at=schema.read_instant(row, "at"),
        finished=columns["verification"] is not None,
        recovered=columns["verification"] in NO_HARM or columns["settled"] is not None,
        incarnation=codec.read_plan(columns).incarnation,
        dropped=columns["verification"] == Verification.DROPPED.value,
        took=columns["seconds"] if proven else 0.0,
        stopped=not _done(columns["result"]) and connection.scalars(stopped).first() is not None,
    )


def _done(result: str | None) -> bool:
    """True if the action was carried through: a server that is stopped afterwards was stopped by somebody else."""
    return _outcome(result) not in (None, Outcome.FAILED)


def _outcome(result: str | None) -> Outcome | None:
    return None if result is None else codec.result_from_json(result).outcome

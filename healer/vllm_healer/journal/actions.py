"""Actions from intent to verdict. The intent is written in the transaction that the guards read in."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Row, Update, insert, select, update

from vllm_healer.elapsed import elapsed
from vllm_healer.errors import JournalError
from vllm_healer.journal import codec, entries, schema
from vllm_healer.journal.ledger import Check, read_ledger
from vllm_healer.journal.schema import actions, steps
from vllm_healer.journal.values import Unfinished
from vllm_healer.model import Instant, Lesson, Outcome, Permit, Plan, Refusal, Result, Verdict, Verification

# The worker asks again every few seconds; the same answer is written again only after this, to show that it holds.
REFUSAL_REPEAT_SECONDS = 300.0


def reserve(connection: Connection, plan: Plan, now: Instant, check: Check) -> Permit | Refusal:
    """Writes the intent, unless `check` or an unfinished action in the pool refuses it."""
    ledger = read_ledger(connection, plan)
    refusal = check(ledger) or (_pool_locked(connection, plan) if plan.destructive else None)
    if refusal is None:
        return _intend(connection, plan, now)
    _refuse(connection, plan, refusal, now)
    return refusal


def step(connection: Connection, action: int, name: str, now: Instant) -> None:
    """Notes a step before it is taken."""
    permit = get(connection, action)
    connection.execute(insert(steps).values(action=action, name=name, **schema.instant_values("at", now)))
    entries.append(connection, permit.plan.incident, "step", f"{_deed(permit.plan)}: {name}", now, {"action": action})


def steps_of(connection: Connection, action: int) -> tuple[str, ...]:
    """The names of the steps in the order in which they were taken; one taken again after a crash is there twice."""
    return tuple(connection.scalars(select(steps.c.name).where(steps.c.action == action).order_by(steps.c.id)))


def finish(connection: Connection, action: int, result: Result, now: Instant) -> None:
    """Writes what came of the action. The pool stays reserved until `conclude`."""
    permit = get(connection, action)
    _update(connection, action, update(actions).values(result=codec.result_to_json(result)))
    words = f"{_deed(permit.plan)}: {result.outcome.value}, {result.words}"
    data = {"action": action, "outcome": result.outcome.value}
    entries.append(connection, permit.plan.incident, "result", words, now, data)


def conclude(connection: Connection, action: int, verdict: Verdict, seconds: float, now: Instant) -> None:
    """Ends verification and frees the pool. Raises ValueError for a verdict that is none yet."""
    if verdict.verification is Verification.NOT_YET:
        raise ValueError(f"action {action} cannot end with the verdict 'not_yet'; verify on, or give it up as failed")
    permit = get(connection, action)
    values = {"verification": verdict.verification.value, "verdict": verdict.words, "seconds": seconds}
    _update(connection, action, update(actions).values(**values))
    words = f"{_deed(permit.plan)}: {verdict.verification.value}, {verdict.words}"
    entries.append(connection, permit.plan.incident, "verdict", words, now, {"action": action, **values})


def settle(connection: Connection, server: str, words: str, now: Instant) -> None:
    """Lets failed actions of this server hold its pool back no longer: it has worked since, or a person says so."""
    failed = _failed(server)
    for row in connection.execute(select(actions).where(*failed)).all():
        permit = _permit(row)
        entries.append(connection, permit.plan.incident, "note", f"{_deed(permit.plan)} is settled: {words}", now)
    connection.execute(update(actions).where(*failed).values(settled=words))


def unsettled(connection: Connection, server: str) -> bool:
    """True if a failed action of this server still holds its pool back."""
    return connection.scalars(select(actions.c.id).where(*_failed(server)).limit(1)).first() is not None


def get(connection: Connection, action: int) -> Permit:
    """The permit of an action. Raises JournalError when there is no such action."""
    row = connection.execute(select(actions).where(actions.c.id == action)).first()
    if row is None:
        raise JournalError(f"there is no action {action} in the journal")
    return _permit(row)


def unfinished(connection: Connection) -> tuple[Unfinished, ...]:
    """The actions without a verdict, oldest first."""
    rows = connection.execute(select(actions).where(actions.c.verification.is_(None)).order_by(actions.c.id)).all()
    return tuple(_unfinished(connection, row) for row in rows)


def lessons(connection: Connection) -> tuple[Lesson, ...]:
    """One lesson for each verified action that did something itself, oldest first."""
    verified = select(actions).where(actions.c.verification.is_not(None), actions.c.destructive.is_(True))
    rows = connection.execute(verified.order_by(actions.c.id))
    return tuple(_lesson(row) for row in rows if _did_something(row))


def _failed(server: str) -> tuple[ColumnElement[bool], ...]:
    failed = Verification.FAILED.value
    return actions.c.server == server, actions.c.verification == failed, actions.c.settled.is_(None)


def _pool_locked(connection: Connection, plan: Plan) -> Refusal | None:
    """The refusal while another destructive action in the pool has no verdict, whatever `check` says."""
    running = select(actions).where(
        actions.c.pool == plan.pool, actions.c.destructive.is_(True), actions.c.verification.is_(None)
    )
    row = connection.execute(running.limit(1)).first()
    if row is None:
        return None
    words = f"{_deed(_permit(row).plan)} (action {_permit(row).action}) in pool {plan.pool} is not verified yet"
    return Refusal("pool_locked", words)


def _intend(connection: Connection, plan: Plan, now: Instant) -> Permit:
    values = {
        "incident": plan.incident,
        "server": plan.server,
        "pool": plan.pool,
        "remediation": plan.remediation,
        "destructive": plan.destructive,
        "plan": codec.plan_to_json(plan),
        **schema.instant_values("at", now),
    }
    action = int(connection.execute(insert(actions).values(**values).returning(actions.c.id)).scalar_one())
    words = f"{_deed(plan)} is intended: {plan.reason}"
    entries.append(connection, plan.incident, "intent", words, now, {"action": action, "incarnation": plan.incarnation})
    return Permit(action, plan, now)


def _refuse(connection: Connection, plan: Plan, refusal: Refusal, now: Instant) -> None:
    """Writes a refusal unless it was written lately. Its words may count seconds down, so they are not compared."""
    data = {"reason": refusal.reason, "remediation": plan.remediation}
    before = entries.last(connection, plan.incident, ("refusal", "intent"))
    if before is not None and before[0].data == data and elapsed(before[1], now) <= REFUSAL_REPEAT_SECONDS:
        return
    words = f"would have done {_deed(plan)}, refused: {refusal.reason}, {refusal.words}"
    entries.append(connection, plan.incident, "refusal", words, now, data)


def _deed(plan: Plan) -> str:
    return f"{plan.remediation} of {plan.server}"


def _update(connection: Connection, action: int, statement: Update) -> None:
    connection.execute(statement.where(actions.c.id == action))


def _permit(row: Row[tuple[object, ...]]) -> Permit:
    columns = row._mapping
    return Permit(columns["id"], codec.plan_from_json(columns["plan"]), schema.read_instant(row, "at"))


def _unfinished(connection: Connection, row: Row[tuple[object, ...]]) -> Unfinished:
    permit = _permit(row)
    text = row._mapping["result"]
    result = None if text is None else codec.result_from_json(text)
    return Unfinished(permit, steps_of(connection, permit.action), result)


def _did_something(row: Row[tuple[object, ...]]) -> bool:
    """True if the action changed something. A restart by another, recorded as `already`, teaches nothing about ours."""
    result = row._mapping["result"]
    return result is not None and codec.result_from_json(result).outcome is not Outcome.ALREADY


def _lesson(row: Row[tuple[object, ...]]) -> Lesson:
    columns = row._mapping
    cause = codec.plan_from_json(columns["plan"]).diagnosis.cause
    recovered = columns["verification"] == Verification.RECOVERED.value
    return Lesson(columns["remediation"], cause, recovered, columns["seconds"])

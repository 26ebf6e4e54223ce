"""Actions from intent to verdict. The intent is written in the transaction that the guards read in."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Row, Update, insert, select, update

from vllm_healer.elapsed import elapsed
from vllm_healer.errors import JournalError
from vllm_healer.journal import approvals, codec, entries, incidents, schema
from vllm_healer.journal.ledger import Check, read_ledger
from vllm_healer.journal.schema import actions, steps
from vllm_healer.journal.values import Unfinished
from vllm_healer.ledger import APPROVAL
from vllm_healer.model import Instant, Lesson, Outcome, Permit, Plan, Refusal, Result, Verdict, Verification
from vllm_healer.printable import gist, one_line

# The worker asks again every few seconds; the same answer is written again only after this, to show that it holds.
REFUSAL_REPEAT_SECONDS = 300.0
REFUSAL_CHANGE_SECONDS = 15.0  # the same refusal in other words, such as another answer of Prometheus


def reserve(connection: Connection, plan: Plan, now: Instant, check: Check) -> Permit | Refusal:
    """Writes the intent, unless `check`, an unfinished action on the server or the incident's end refuses it."""
    refusal = _closed(connection, plan)
    if refusal is not None:
        return refusal  # not written: nothing is added to what has ended
    ledger = read_ledger(connection, plan)
    refusal = check(ledger) or (_locked(connection, plan) if plan.destructive else None)
    if refusal is None:
        return _intend(connection, plan, now)
    _refuse(connection, plan, refusal, now)
    if refusal.reason == APPROVAL:
        approvals.ask(connection, plan, now)
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


def conclude(connection: Connection, action: int, verdict: Verdict, seconds: float, now: Instant) -> bool:
    """Ends verification and frees the pool. False if it had ended already: the first verdict stays.

    Raises ValueError for a verdict that is none yet.
    """
    if verdict.verification is Verification.NOT_YET:
        raise ValueError(f"action {action} cannot end with the verdict 'not_yet'; verify on, or give it up as failed")
    permit = get(connection, action)
    values = {"verification": verdict.verification.value, "verdict": verdict.words, "seconds": seconds}
    first = update(actions).where(actions.c.id == action, actions.c.verification.is_(None)).values(**values)
    if not connection.execute(first).rowcount:
        return False
    words = f"{_deed(permit.plan)}: {verdict.verification.value}, {verdict.words}"
    entries.append(connection, permit.plan.incident, "verdict", words, now, {"action": action, **values})
    return True


def settle(connection: Connection, server: str | None, words: str, now: Instant) -> None:
    """Lets failed actions of this server, or of all, hold nothing back any more: it works, or a person says so."""
    failed = which_hold_back(server)
    for row in connection.execute(select(actions).where(*failed)).all():
        permit = _permit(row)
        entries.append(connection, permit.plan.incident, "note", f"{_deed(permit.plan)} is settled: {words}", now)
    connection.execute(update(actions).where(*failed).values(settled=words))


def unsettled(connection: Connection, server: str) -> bool:
    """True if a failed action of this server still holds its pool back."""
    return connection.scalars(select(actions.c.id).where(*which_hold_back(server)).limit(1)).first() is not None


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


def failing(connection: Connection) -> dict[tuple[str, str], int]:
    """Counts how often in a row each (server, remediation) did not help; those that helped since are not in it."""
    servers = select(actions.c.server).where(*which_hold_back(None))
    ended = select(actions).where(actions.c.server.in_(servers), actions.c.destructive.is_(True))
    counts: dict[tuple[str, str], int] = {}
    over: set[tuple[str, str]] = set()
    for row in connection.execute(ended.order_by(actions.c.id.desc())):
        columns = row._mapping
        pair = columns["server"], columns["remediation"]
        if pair in over or columns["verification"] in (None, Verification.DROPPED.value):
            continue
        if columns["verification"] == Verification.FAILED.value and columns["settled"] is None:
            counts[pair] = counts.get(pair, 0) + 1
        else:
            over.add(pair)
    return counts


def which_hold_back(server: str | None) -> tuple[ColumnElement[bool], ...]:
    """The conditions for failed actions of this server, or of all, that still hold their pool back."""
    failed = actions.c.verification == Verification.FAILED.value, actions.c.settled.is_(None)
    return failed if server is None else (actions.c.server == server, *failed)


def _closed(connection: Connection, plan: Plan) -> Refusal | None:
    """The refusal when the incident was closed while its step was under way."""
    if incidents.is_open(connection, plan.incident):
        return None
    return Refusal("not_firing", f"incident {plan.incident} has ended while {plan.server} was looked at")


def _locked(connection: Connection, plan: Plan) -> Refusal | None:
    """The refusal while another destructive action on the server has no verdict, whatever `check` says."""
    running = select(actions).where(
        actions.c.server == plan.server, actions.c.destructive.is_(True), actions.c.verification.is_(None)
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
    approvals.use(connection, plan, action)
    return Permit(action, plan, now)


def _refuse(connection: Connection, plan: Plan, refusal: Refusal, now: Instant) -> None:
    """Writes a refusal unless it was written lately. Its words may count seconds down: that is nothing new."""
    data = {"reason": refusal.reason, "remediation": plan.remediation}
    words = f"would have done {_deed(plan)}, refused: {refusal.reason}, {refusal.words}"
    before = entries.last(connection, plan.incident, ("refusal", "intent"))
    if before is not None and before[0].data == data:
        same = gist(before[0].words) == gist(one_line(words))
        if elapsed(before[1], now) <= (REFUSAL_REPEAT_SECONDS if same else REFUSAL_CHANGE_SECONDS):
            return
    entries.append(connection, plan.incident, "refusal", words, now, data)


def _deed(plan: Plan) -> str:
    return f"{plan.remediation} of {plan.server}"


def _update(connection: Connection, action: int, statement: Update) -> None:
    connection.execute(statement.where(actions.c.id == action))


def _permit(row: Row[tuple[object, ...]]) -> Permit:
    columns = row._mapping
    return Permit(columns["id"], codec.read_plan(columns), schema.read_instant(row, "at"))


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
    cause = codec.read_plan(columns).diagnosis.cause
    recovered = columns["verification"] == Verification.RECOVERED.value
    return Lesson(columns["remediation"], cause, recovered, columns["seconds"])

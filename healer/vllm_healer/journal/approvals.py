"""Requests for a person's approval, and the answers. One is for one remediation, incident and incarnation."""

from __future__ import annotations

from sqlalchemy import Connection, Row, insert, inspect, select, update

from vllm_healer.elapsed import elapsed
from vllm_healer.errors import NotWaiting
from vllm_healer.journal import entries, schema
from vllm_healer.journal.schema import approvals
from vllm_healer.ledger import APPROVAL_EXPIRES, Approval, Consent
from vllm_healer.model import Instant, Plan


def find(connection: Connection, plan: Plan) -> Approval | None:
    """The newest request for this plan. A journal that an earlier release wrote, and this one only reads, has none."""
    if not inspect(connection).has_table(approvals.name):
        return None
    same = select(approvals).where(
        approvals.c.incident == plan.incident,
        approvals.c.remediation == plan.remediation,
        approvals.c.incarnation == plan.incarnation,
    )
    row = connection.execute(same.order_by(approvals.c.id.desc()).limit(1)).first()
    return None if row is None else _approval(row)


def ask(connection: Connection, plan: Plan, now: Instant) -> None:
    """Asks for approval, unless a request still waits for its answer or a person has refused it."""
    known = find(connection, plan)
    if known is not None and (known.answer is Consent.REFUSED or is_waiting(known, now)):
        return
    told = {name: getattr(plan, name) for name in ("incident", "server", "remediation", "incarnation")}
    asked = insert(approvals).values(**told, words="", used_by=0, **schema.instant_values("asked", now))
    request = int(connection.execute(asked.returning(approvals.c.id)).scalar_one())
    words = f"approval {request} is asked for: {plan.remediation} of {plan.server}, {plan.reason}"
    how = f"`vllm-healer approve {request}` or `refuse {request}` within {APPROVAL_EXPIRES / 60:.0f} minutes"
    entries.append(connection, plan.incident, "approval", f"{words}; {how}", now, {"approval": request})


def answer(connection: Connection, request: int, given: Consent, words: str, now: Instant) -> None:
    """Writes a person's answer. Raises NotWaiting when there is nothing to answer."""
    row = connection.execute(select(approvals).where(approvals.c.id == request)).first()
    if row is None:
        raise NotWaiting(f"there is no approval {request}; `vllm-healer history` shows what is asked for")
    known = _approval(row)
    if known.answer is not None:
        raise NotWaiting(f"approval {request} was {known.answer.value} already: {known.words}")
    if not is_waiting(known, now):
        raise NotWaiting(f"approval {request} has expired; the healer asks again if it still wants to")
    values = {"answer": given.value, "words": words, **schema.instant_values("answered", now)}
    connection.execute(update(approvals).where(approvals.c.id == request).values(**values))
    told = f"approval {request} ({known.remediation} of {known.server}) is {given.value} by {words}"
    entries.append(connection, known.incident, "approval", told, now, {"approval": request, "answer": given.value})


def use(connection: Connection, plan: Plan, action: int) -> None:
    """Notes the action that was begun on an approval, which is for one."""
    known = find(connection, plan)
    if known is not None and known.answer is Consent.APPROVED and not known.used_by:
        connection.execute(update(approvals).where(approvals.c.id == known.id).values(used_by=action))


def waiting(connection: Connection, now: Instant) -> tuple[Approval, ...]:
    """The requests that can be answered now, oldest first."""
    rows = connection.execute(select(approvals).where(approvals.c.answer.is_(None)).order_by(approvals.c.id))
    return tuple(known for known in map(_approval, rows) if is_waiting(known, now))


def is_waiting(known: Approval, now: Instant) -> bool:
    return known.answer is None and elapsed(known.asked, now) < APPROVAL_EXPIRES


def _approval(row: Row[tuple[object, ...]]) -> Approval:
    columns = row._mapping
    answered = None if columns["answered_wall"] is None else schema.read_instant(row, "answered")
    return Approval(
        id=columns["id"],
        incident=columns["incident"],
        server=columns["server"],
        remediation=columns["remediation"],
        asked=schema.read_instant(row, "asked"),
        answer=read_answer(columns["answer"]),
        answered=answered,
        words=columns["words"],
        used_by=columns["used_by"],
    )


def read_answer(word: str | None) -> Consent | None:
    """The answer; one that this release does not know approves nothing."""
    try:
        return None if word is None else Consent(word)
    except ValueError:
        return Consent.REFUSED

"""Turns values into JSON text and back, for the columns that hold whole values.

A text that cannot be read (a damaged disk, an editor, another release) costs its own value and no other: the healer
starts whatever is in its journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from vllm_healer.model import Diagnosis, Outcome, Plan, ProcessRef, Result

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


def to_json(value: object) -> str:
    """The value as JSON text. Sets become sorted lists, so that the same value is always the same text."""
    return json.dumps(value, default=_plain, ensure_ascii=True, separators=(",", ":"))


def texts_from_json(text: str) -> dict[str, str]:
    """Reads labels or annotations; {} where they cannot be read: of a nameless server nothing is done."""
    return {name: value for name, value in data_from_json(text).items() if isinstance(value, str)}


def data_from_json(text: str) -> dict[str, object]:
    """Reads what an entry carries beside its words; {} where it cannot be read."""
    try:
        document = json.loads(text)
    except _UNREADABLE:
        return {}
    return document if isinstance(document, dict) else {}


def plan_to_json(plan: Plan) -> str:
    return to_json(asdict(plan))


def read_plan(columns: Mapping[Any, Any]) -> Plan:
    """The plan of an action's row. One that cannot be read is made of the other columns: it is of no process and for no
    known cause, so that it can be ended and nothing else."""
    try:
        return _plan_from_json(columns["plan"])
    except _UNREADABLE:
        told = {name: columns[name] for name in ("incident", "server", "pool", "remediation", "destructive")}
        unknown = Diagnosis("unknown", "the journal does not say any more")
        return Plan(**told, incarnation="", reason="its plan cannot be read", diagnosis=unknown)


def _plan_from_json(text: str) -> Plan:
    written: dict[str, Any] = json.loads(text)
    diagnosis = written.pop("diagnosis")
    diagnosis["supporting_alerts"] = frozenset(diagnosis["supporting_alerts"])
    diagnosis["ruled_out"] = tuple(diagnosis.get("ruled_out", ()))
    processes = _tree(written.pop("processes", ()))
    return Plan(**_known(Plan, written), diagnosis=Diagnosis(**_known(Diagnosis, diagnosis)), processes=processes)


def result_to_json(result: Result) -> str:
    return to_json(asdict(result))


def result_from_json(text: str) -> Result:
    """The result; one that cannot be read counts as a failure."""
    try:
        written: dict[str, Any] = json.loads(text)
        return Result(**{**_known(Result, written), "outcome": Outcome(written["outcome"])})
    except _UNREADABLE:
        return Result(Outcome.FAILED, "its result cannot be read")


def tree_to_json(tree: Iterable[ProcessRef]) -> str:
    return to_json([asdict(process) for process in tree])


def tree_from_json(text: str) -> tuple[ProcessRef, ...]:
    """The processes; none where they cannot be read, so that none is ended by mistake."""
    try:
        return _tree(json.loads(text))
    except _UNREADABLE:
        return ()


def _tree(written: Iterable[dict[str, Any]]) -> tuple[ProcessRef, ...]:
    return tuple(ProcessRef(**_known(ProcessRef, process)) for process in written)


def _known(kind: type, written: dict[str, Any]) -> dict[str, Any]:
    """The fields that this release has; another release of the healer may have written more."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in written.items() if name in names}


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot be written to the journal: {value!r}; use text, numbers, lists and dicts")

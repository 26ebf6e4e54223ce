"""Turns values into JSON text and back, for the columns that hold whole values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from vllm_healer.model import Diagnosis, Outcome, Plan, ProcessRef, Result


def to_json(value: object) -> str:
    """The value as JSON text. Sets become sorted lists, so that the same value is always the same text."""
    return json.dumps(value, default=_plain, ensure_ascii=True, separators=(",", ":"))


def texts_from_json(text: str) -> dict[str, str]:
    """Reads labels or annotations."""
    return dict(json.loads(text))


def data_from_json(text: str) -> dict[str, object]:
    """Reads what an entry carries beside its words."""
    return dict(json.loads(text))


def plan_to_json(plan: Plan) -> str:
    return to_json(asdict(plan))


def plan_from_json(text: str) -> Plan:
    written: dict[str, Any] = json.loads(text)
    diagnosis = written.pop("diagnosis")
    diagnosis["supporting_alerts"] = frozenset(diagnosis["supporting_alerts"])
    processes = _tree(written.pop("processes", ()))
    return Plan(**_known(Plan, written), diagnosis=Diagnosis(**_known(Diagnosis, diagnosis)), processes=processes)


def result_to_json(result: Result) -> str:
    return to_json(asdict(result))


def result_from_json(text: str) -> Result:
    written: dict[str, Any] = json.loads(text)
    return Result(**{**_known(Result, written), "outcome": Outcome(written["outcome"])})


def tree_to_json(tree: Iterable[ProcessRef]) -> str:
    return to_json([asdict(process) for process in tree])


def tree_from_json(text: str) -> tuple[ProcessRef, ...]:
    return _tree(json.loads(text))


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

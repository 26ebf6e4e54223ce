"""Makes events of the lines that vLLM's processes write. Pure.

A process is believed as little as it can be: each field has its type and its length, and what is not known is left out.
"""

from __future__ import annotations

import json

from vllm_exporter.facts.events import Event, ExceptionRaised, Severity, UserRequestFailed
from vllm_exporter.subjects.inside.lines import LONGEST

BY_CLIENT = frozenset(("validation", "not_found", "rate_limited", "client_abort"))  # failures that need nobody
MAX_TEXT = 128  # characters
MAX_STACK = 4096
MAX_NUMBER = 1e15

Fields = dict[str, object]


def parse_line(data: bytes, pid: int) -> tuple[Event | None, int]:
    """Returns the event of a line, without its server, and that one's port, 0 for none. None: a kind that is not known.

    Raises ValueError for a line that is broken.
    """
    if len(data) > LONGEST:
        raise ValueError(f"a line of {len(data)} bytes")
    try:
        fields = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(fields, dict):
        raise ValueError("no object")
    port = int(_number(fields, "port") or 0)
    if fields.get("kind") == "failed_request":
        return _failed_request(fields), port
    if fields.get("kind") == "exception":
        return _exception(fields, pid), port
    return None, port


def _failed_request(fields: Fields) -> UserRequestFailed:
    kind, endpoint, status = _text(fields, "type"), _text(fields, "endpoint"), int(_number(fields, "status") or 0)
    seconds = _number(fields, "duration_seconds") or 0.0
    severity: Severity = "info" if kind in BY_CLIENT else "warning"
    return UserRequestFailed(
        severity=severity,
        summary=f"{endpoint} failed after {seconds:.1f} s: {kind}" + (f", status {status}" if status else ""),
        model_name=_text(fields, "model_name"),
        time=_number(fields, "time") or 0.0,
        id=_text(fields, "id"),
        type=kind,
        status=status,
        endpoint=endpoint,
        tenant=_text(fields, "tenant"),
        duration_seconds=seconds,
        ttft_seconds=_number(fields, "ttft_seconds"),
        prompt_tokens=_whole(fields, "prompt_tokens"),
        output_tokens=_whole(fields, "output_tokens"),
    )


def _exception(fields: Fields, pid: int) -> ExceptionRaised:
    name, stack = _text(fields, "exception"), _text(fields, "stack", MAX_STACK)
    innermost, _, _ = stack.partition(" < ")
    return ExceptionRaised(
        severity="error",
        summary=f"{name} in {innermost}" if innermost else name,
        time=_number(fields, "time") or 0.0,
        exception=name,
        origin=_text(fields, "origin"),
        fingerprint=_text(fields, "fingerprint"),
        stack=stack,
        count=int(_number(fields, "count") or 1),
        pid=pid,
        cause=_text(fields, "cause"),
    )


def _text(fields: Fields, name: str, most: int = MAX_TEXT) -> str:
    """Returns a field as printable text, cut; '' when it is not there. Raises ValueError when it is no text."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return "".join(one if one.isprintable() else "?" for one in value[:most])


def _number(fields: Fields, name: str) -> float | None:
    """Returns a field that is a number, 0 or more; None when it is not there. Raises ValueError for any other."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMBER:
        raise ValueError(f"{name} is no number")
    return float(value)


def _whole(fields: Fields, name: str) -> int | None:
    value = _number(fields, name)
    return None if value is None else int(value)

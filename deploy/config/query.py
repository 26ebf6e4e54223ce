"""Asks Prometheus by its HTTP API, with the password: promtool can do that only from 2.46 on.

Needs no package but Python's own.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from deploy.config.access import USER
from deploy.errors import QueryError

_SECONDS = 30.0  # a query over a month of samples takes some


def query(host: str, port: int, password: str, expression: str) -> str:
    """Returns a line for each series of the answer, as promtool prints them. Raises QueryError."""
    basic = base64.b64encode(f"{USER}:{password.strip()}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("POST", "/api/v1/query", urlencode({"query": expression}), headers)
        response = connection.getresponse()
        return read_answer(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        raise QueryError(f"Prometheus at {host}:{port} does not answer: {error}") from error
    finally:
        connection.close()


def read_answer(status: int, body: bytes) -> str:
    """Raises QueryError with Prometheus' own words when it is no result."""
    try:
        answer = json.loads(body)
        if answer["status"] == "success":
            return render_result(answer["data"]["resultType"], answer["data"]["result"])
        said = f"{answer['errorType']}: {answer['error']}"
    except (ValueError, KeyError, TypeError):
        said = body.decode(errors="replace").strip()[:200]
    raise QueryError(f"Prometheus answered {status}: {said}")


def render_result(kind: str, result: list[object]) -> str:
    if kind in ("scalar", "string"):
        return f"{kind} => {result[1]}"
    return "\n".join(map(_series, result)) or "nothing: no series matches"


def _series(one: object) -> str:
    match one:
        case {"metric": dict(labels), "value": [_, value]}:
            return f"{_name(labels)} => {value}"
        case {"metric": dict(labels), "values": list(values)}:
            return f"{_name(labels)} => {' '.join(str(value) for _, value in values)}"
        case _:
            return str(one)


def _name(labels: Mapping[str, str]) -> str:
    rest: Iterable[str] = (f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{', '.join(rest)}}}"

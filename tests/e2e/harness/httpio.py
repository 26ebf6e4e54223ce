"""Small HTTP reads with a time limit."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.harness.waiting import until

NO_ANSWER = 0  # status of a request that got none: refused, reset or timed out


def status(url: str, timeout: float = 5.0) -> int:
    """The HTTP status of a GET, or NO_ANSWER."""
    return request(url, timeout=timeout)[0]


def wait_ok(url: str, seconds: float) -> None:
    """Until a GET answers 200."""
    until(f"{url} to answer 200", lambda: status(url, 2) == 200, seconds)


def get_text(url: str, timeout: float = 5.0) -> str:
    """The body of a GET, '' when there was no answer."""
    return request(url, timeout=timeout)[1]


def get_json(url: str, timeout: float = 5.0) -> Any:
    """The JSON of a GET, None when there was no answer or no JSON."""
    try:
        return json.loads(get_text(url, timeout))
    except ValueError:
        return None


def post_json(url: str, body: object, headers: dict[str, str] | None = None, timeout: float = 10.0) -> tuple[int, str]:
    """Status (or NO_ANSWER) and body of a POST."""
    return request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}, timeout)


def request(
    url: str, data: bytes | None = None, headers: dict[str, str] | None = None, timeout: float = 5.0
) -> tuple[int, str]:
    """Status and body; an HTTP error is an answer too. A user and a password in the URL are sent as basic auth."""
    url, login = split_login(url)
    try:
        asked = urllib.request.Request(url, data, {**login, **(headers or {})})
        with urllib.request.urlopen(asked, timeout=timeout) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError:
        return NO_ANSWER, ""


def split_login(url: str) -> tuple[str, dict[str, str]]:
    """The URL without user and password, and the header that carries them, which urllib does not make."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    header = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if at else {}
    return parts._replace(netloc=host).geturl(), header

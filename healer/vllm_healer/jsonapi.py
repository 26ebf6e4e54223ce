"""Asks a JSON API. Every way of not getting an answer becomes the error Blind, with words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

from vllm_healer.errors import Blind
from vllm_healer.net.client import MAX_BODY, HttpAnswer, RequestFailed, request
from vllm_healer.net.http_config import HttpConfig

# What proxies that let only reading through say to POST, some with a word about the body (411, 415). Prometheus' own
# client asks by GET then.
POST_IS_REFUSED = (403, 404, 405, 411, 415, 501)


@dataclass(frozen=True)
class Reply:
    """A JSON document; `date` is when it was given, by the clock of its server or of a cache before it, in seconds
    since the epoch; None where neither says so."""

    document: object
    date: float | None


class JsonApi:
    """One server's API. Each call raises Blind unless it is answered with status 200 and JSON."""

    def __init__(
        self, url: str, name: str, key: str, timeout: float, http_config: HttpConfig, limit: int = MAX_BODY
    ) -> None:
        """`key` is that of `http_config` in healer.yml, `timeout` in seconds for a whole request, `limit` in bytes."""
        self._url = url.rstrip("/")
        self._key = key
        self._timeout = timeout
        self._http_config = http_config
        self._limit = limit
        self._only_get = False
        self.who = f"{name} at {self._url}"

    def get(self, path: str, parameters: Mapping[str, str]) -> Reply:
        return self._read(self._ask("GET", f"{path}?{urlencode(parameters)}"))

    def query(self, path: str, parameters: Mapping[str, str]) -> Reply:
        """Asks by POST, since a long query exceeds what proxies take in an address; by GET where POST is refused."""
        if self._only_get:
            return self.get(path, parameters)
        answer = self._ask("POST", path, urlencode(parameters).encode())
        if answer.status not in POST_IS_REFUSED:
            return self._read(answer)
        reply = self.get(path, parameters)
        self._only_get = True  # remembered only now: a missing right refuses both
        return reply

    def _ask(self, method: str, path: str, form: bytes = b"") -> HttpAnswer:
        try:
            headers = self._http_config.headers()
            headers += [("Content-Type", "application/x-www-form-urlencoded")] if form else []
            ca_file = self._http_config.tls_config.ca_file
            return request(method, self._url + path, self._timeout, headers, form, self._limit, ca_file)
        except Blind as error:
            raise Blind(f"{self.who} was not asked: {self._key}: {error}") from None
        except RequestFailed as error:
            raise Blind(f"{self.who} {error}") from None

    def _read(self, answer: HttpAnswer) -> Reply:
        if answer.status in (401, 403):
            raise Blind(f"{self.who} answered {answer.words}; see {self._key} in healer.yml")
        if answer.status != 200:
            raise Blind(f"{self.who} answered {answer.words}")
        document = answer.json()
        if document is None:
            raise Blind(f"{self.who} answered something that is not JSON: {answer.words}")
        return Reply(document, _given(answer.headers))


def _given(headers: Mapping[str, str]) -> float | None:
    """The time of the header Date, and what a cache says that has passed since (Age: RFC 9111, 5.1)."""
    date, age = parse_date(headers.get("date", "")), headers.get("age", "")
    return date + int(age) if date is not None and re.fullmatch(r"[0-9]{1,9}", age) else date


def parse_date(text: str) -> float | None:
    """The header Date as seconds since the epoch; None when it is none. RFC 9110, 6.6.1: whole seconds, cut off."""
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None

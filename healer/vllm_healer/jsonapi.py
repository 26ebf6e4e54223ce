"""Asks a JSON API. Every way of not getting an answer becomes the error Blind, with words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from urllib.parse import urlencode

from vllm_healer.errors import Blind
from vllm_healer.net.client import MAX_BODY, HttpAnswer, RequestFailed, request
from vllm_healer.net.http_config import HttpConfig

POST_IS_REFUSED = (403, 404, 405, 501)  # by proxies that let only reading through; Prometheus' own client asks by GET


@dataclass(frozen=True)
class Reply:
    """A JSON document; `date` is when its server says that it was made, in seconds since the epoch, None if unsaid."""

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
        return Reply(document, parse_date(answer.headers.get("date", "")))


def parse_date(text: str) -> float | None:
    """The header Date as seconds since the epoch; None when it is none. RFC 9110, 6.6.1: whole seconds, cut off."""
    try:
        parsed = parsedate_tz(text)
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None

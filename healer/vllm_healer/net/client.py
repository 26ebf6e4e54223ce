"""Asks over HTTP: one request a connection, one deadline for all of it, a limit on the answer, no redirects.

RequestFailed
├── Refused    nobody listens there
├── NoRoute    its name does not resolve, or no route leads there
├── TimedOut   no full answer before the deadline: saturated, hung, or a firewall
├── Unsendable the request itself: its key or host holds what HTTP cannot carry
└── Garbled    anything else: connection reset, TLS refused, not HTTP, cut, too large, compressed
"""

from __future__ import annotations

import errno
import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, urlsplit

from vllm_healer.errors import HealerError
from vllm_healer.net.connection import BoundedConnection, TooLarge, open_tcp
from vllm_healer.printable import quoted

MAX_BODY = 1024 * 1024  # bytes, where nothing larger is to be expected
_PATH = "!#$%&'()*+,/:;=?@[]~"  # characters of an address that mean something as they are

Headers = Iterable[tuple[str, str]]


class RequestFailed(HealerError):
    """No usable answer; the words name no address."""


class Refused(RequestFailed):
    """Nobody listens there."""


class NoRoute(RequestFailed):
    """Its name does not resolve, or no route leads there."""


class TimedOut(RequestFailed):
    """No full answer before the deadline."""


class Unsendable(RequestFailed):
    """The request cannot be written; the words do not repeat what is wrong in it, which may be a secret."""


class Garbled(RequestFailed):
    """Any other failure."""


@dataclass(frozen=True)
class HttpAnswer:
    """A full answer, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case

    def json(self) -> object:
        """The body as JSON; None when it is none, nests too deep, or holds a number of thousands of digits."""
        try:
            document: object = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return document

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def words(self) -> str:
        """The answer in short and printable words. What a redirect or its page says is not repeated."""
        if 300 <= self.status < 400:
            return f"HTTP {self.status}, a redirect, and none is followed"
        return f"HTTP {self.status}: {quoted(self.body)}"


def request(
    method: str,
    url: str,
    timeout: float,
    headers: Headers = (),
    body: bytes = b"",
    limit: int = MAX_BODY,
    ca_file: str = "",
) -> HttpAnswer:
    """Sends one request and reads the whole answer, within `timeout` seconds from now.

    `limit` is in bytes of the answer's body. Raises RequestFailed.
    """
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    opener = partial(open_tcp, parts.hostname or "", parts.port or (443 if tls else 80), tls, ca_file)
    connection = BoundedConnection(parts.netloc, timeout, limit, opener)
    try:
        _send(connection, method, f"{parts.path or '/'}{parts.query and '?'}{parts.query}", headers, body)
        return _receive(connection, limit)
    except TimeoutError:
        raise TimedOut(f"did not answer within {timeout:g} s") from None
    except ConnectionRefusedError as error:
        raise Refused(f"did not answer: {error.strerror}") from None
    except (OSError, http.client.HTTPException) as error:
        nowhere = isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)
        raise (NoRoute if nowhere else Garbled)(f"did not answer: {_words(error)}") from None
    except ValueError:
        raise Unsendable("cannot be asked: a header or the host's name holds what HTTP cannot carry") from None
    finally:
        connection.close()


def _send(connection: BoundedConnection, method: str, path: str, headers: Headers, body: bytes) -> None:
    """http.client adds Host and `Accept-Encoding: identity`."""
    connection.putrequest(method, quote(path, safe=_PATH))
    connection.putheader("Connection", "close")  # vLLM closes idle ones after 5 s
    connection.putheader("User-Agent", "vllm-healer")  # some proxies refuse who does not name itself
    for name, value in headers:
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)


def _receive(connection: BoundedConnection, limit: int) -> HttpAnswer:
    response = connection.getresponse()
    with response:
        if response.getheader("Content-Encoding", "").strip().lower() not in ("", "identity"):
            raise Garbled("did not answer: it compressed what was asked for as it is")
        if (response.length or 0) > limit:
            raise TooLarge(f"it announces {response.length} bytes, of which {limit} are taken")
        body = _read(response, limit)
    if len(body) > limit:
        raise TooLarge(f"it sent more than the {limit} bytes that are taken")
    if response.length:  # read(n) takes an answer that ends early for a whole one
        raise http.client.IncompleteRead(body, response.length)
    return HttpAnswer(response.status, body, {name.lower(): value for name, value in response.getheaders()})


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    try:
        return response.read(limit + 1)
    except ValueError as error:  # a chunk of negative size
        raise Garbled(f"did not answer: {quoted(str(error))}") from None


def _words(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut short"
    words = (error.strerror or str(error)) if isinstance(error, OSError) else f"{type(error).__name__} {error}"
    return quoted(words)[1:-1]

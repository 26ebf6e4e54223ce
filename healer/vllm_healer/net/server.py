"""Asks one vLLM server, with its key and its authority."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

from vllm_healer.model import Target
from vllm_healer.net.client import MAX_BODY, Headers, HttpAnswer, request
from vllm_healer.net.connection import open_tcp, seconds_left
from vllm_healer.net.http_config import read_secret

MAX_PAGE = 8 * 1024 * 1024  # bytes of /metrics; a page of a large deployment has been seen with 85 kB


def ask(
    target: Target,
    method: str,
    path: str,
    timeout: float,
    headers: Headers = (),
    body: object = None,
    limit: int = MAX_BODY,
) -> HttpAnswer:
    """The server's answer within `timeout` seconds; `body` is sent as JSON, None as nothing. Raises RequestFailed."""
    sent = b"" if body is None else json.dumps(body).encode()
    if sent:
        headers = [*headers, ("Content-Type", "application/json")]
    return request(method, target.url + path, timeout, headers, sent, limit, target.ca_file)


def closes_unasked(target: Target, seconds: float) -> bool:
    """True if it accepts a connection and closes it within `seconds` although nothing was sent.

    A server waits for a request, or for the client to begin with TLS. What forwards a port can do neither when nobody
    listens behind it.
    """
    parts, deadline = urlsplit(target.url), time.monotonic() + seconds
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with open_tcp(parts.hostname or "", port, False, "", deadline) as connected:
            connected.settimeout(seconds_left(deadline))
            return not connected.recv(1)
    except (ConnectionResetError, ConnectionAbortedError):
        return True
    except OSError:
        return False


def key_header(target: Target) -> list[tuple[str, str]]:
    """The server's API key, read at each use, so that a rotated key needs no restart. Raises Blind."""
    if not target.api_key_file:
        return []
    return [("Authorization", f"Bearer {read_secret(target.api_key_file, 'api_key_file')}")]


def token_header(target: Target) -> list[tuple[str, str]]:
    """The token that opens vLLM's management paths where the part inside vLLM guards them. Raises Blind."""
    if not target.monitor_token_file:
        return []
    return [("X-Vllm-Monitor-Token", read_secret(target.monitor_token_file, "monitor_token_file"))]

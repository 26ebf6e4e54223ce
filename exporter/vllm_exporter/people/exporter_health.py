"""Asks the exporter that runs on this host for its GET /health."""

from __future__ import annotations

from typing import Any

from vllm_exporter.config.addresses import parse_listen
from vllm_exporter.config.config import Config
from vllm_exporter.errors import SourceError
from vllm_exporter.log import LogLevel
from vllm_exporter.net.http import Origin, RequestFailed, request
from vllm_exporter.net.json_body import parse_object

TIMEOUT = 3.0  # seconds: it answers from memory
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # an address to listen on, and the same to call


def quiet(level: LogLevel, message: str, **facts: object) -> None:
    """Discards log lines: a command that runs collectors once prints what is wrong in its own output."""


def ask_exporter(config: Config) -> dict[str, Any] | None:
    """Returns {"stats": …, "summary": …}; None without an exporter. Raises SourceError when another program answers."""
    host, port = next(iter(parse_listen(config.listen)))
    origin = Origin(EVERYWHERE.get(host, host), port)
    try:
        answer = request(origin, "GET", "/health", TIMEOUT)
    except RequestFailed:
        return None
    said = parse_object(answer.body)
    if answer.status != 200 or not isinstance(said.get("stats"), dict):
        raise SourceError(
            f"{origin} answers, but is not a vllm-exporter of this release; name its address with --listen HOST:PORT"
        )
    return dict(said)

"""The canary: a request for one token of a prompt never sent before, streamed so that the first token has a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from vllm_exporter.errors import SourceError
from vllm_exporter.net.http import ClientResponse
from vllm_exporter.net.json_body import parse_object
from vllm_exporter.subjects.server.canaries import CanaryResult, CanaryTokens

MAX_MODELS = 20  # names kept: a server with LoRA adapters may list thousands


class NotApplicable(Exception):
    """The server has no model to complete with."""


class Reply:
    """The stream of one reply. Made when the request is sent."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sent = now()
        self._first: float | None = None

    def heard(self, piece: bytes) -> None:
        """Takes a piece of the stream: vLLM's first event is the first token."""
        if self._first is None and b'"choices"' in piece:
            self._first = self._now() - self._sent

    def tokens(self, body: bytes) -> CanaryTokens:
        """Returns the tokens. If the server does not stream, the first one comes with the last byte."""
        first = self._now() - self._sent if self._first is None else self._first
        usage = parse_usage(body)
        return CanaryTokens(first, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def canary_body(model: str) -> bytes:
    """Returns the request. With `include_usage` the server counts our tokens, so that its users' can be separated."""
    asked = {
        "model": model,
        "prompt": f"canary {os.urandom(8).hex()}",
        "max_tokens": 1,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(asked).encode()


def choose_canary(answer: ClientResponse) -> CanaryResult:
    """Returns the result. 4xx: this model or this key cannot complete, which says nothing about the engine."""
    if answer.status == 200:
        first = answer.body.partition(b"\n")[0] if answer.body.startswith(b"data:") else answer.body
        return "ok" if b'"choices"' in first else "error"  # an engine that dies ends the stream with an error
    return "not_applicable" if 400 <= answer.status < 500 else "error"


def parse_usage(body: bytes) -> Mapping[str, object]:
    """Returns the usage of the last event that has one, or of an answer that is not streamed; empty without one."""
    for line in reversed(body.splitlines()):
        if b'"usage"' not in line:
            continue
        usage = parse_object(line.removeprefix(b"data:")).get("usage")
        if isinstance(usage, dict):
            return usage
    return {}


def parse_models(answer: ClientResponse) -> tuple[str, ...]:
    """Returns the first MAX_MODELS of /v1/models. Raises SourceError when it names none, NotApplicable when access is
    refused (4xx)."""
    if 400 <= answer.status < 500:
        raise NotApplicable
    data = parse_object(answer.body).get("data")
    models = data[:MAX_MODELS] if isinstance(data, list) else []
    names = [model.get("id") if isinstance(model, dict) else None for model in models]
    known = tuple(name for name in names if isinstance(name, str) and name)
    if answer.status != 200 or not known or len(known) < len(names):
        raise SourceError(f"/v1/models: status {answer.status}, no model in {answer.body[:80]!r}")
    return known


def _count(usage: Mapping[str, object], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else 0

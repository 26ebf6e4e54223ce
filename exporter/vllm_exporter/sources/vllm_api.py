"""What the exporter asks a vLLM server, and what the answers mean."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Protocol

from vllm_exporter.canaries import CanaryResult
from vllm_exporter.engine import EngineValues
from vllm_exporter.errors import SourceError
from vllm_exporter.progress import Health
from vllm_exporter.sources.http import Origin, Refused, RequestFailed, Response, TimedOut, request
from vllm_exporter.sources.vllm_metrics import parse_engine

PAUSE_TIMEOUT = 2.0  # seconds: a round trip to the engine takes 3 ms, and a hung one never answers
MAX_SMALL_BODY = 1024 * 1024  # bytes; the answers to all but /metrics
AGENT = {"User-Agent": "vllm-monitor-canary"}  # so that access logs and per-client limits can tell it


@dataclass(frozen=True)
class PauseAnswer:
    """`paused` is None when no answer came; `supported` is False when there is no such endpoint (dev mode off)."""

    paused: bool | None
    supported: bool = True


class VllmApi(Protocol):
    """One server. What cannot be reached is an answer as well: only `engine` raises."""

    def health(self) -> Health: ...

    def engine(self) -> EngineValues | None:
        """None: /metrics was read and has no vllm: families. Raises SourceError when it could not be read."""
        ...

    def canary(self) -> CanaryResult: ...

    def pause(self) -> PauseAnswer: ...

    def forget_model(self) -> None:
        """The next canary asks for the model's name again."""
        ...


class HttpVllmApi(VllmApi):
    """A server over HTTP."""

    def __init__(self, origin: Origin, health_timeout: float, canary_timeout: float) -> None:
        self._origin = origin
        self._health_timeout = health_timeout
        self._canary_timeout = canary_timeout
        self._model = ""

    def health(self) -> Health:
        try:
            status = self._get("/health", self._health_timeout).status
        except Refused:
            return "refused"
        except TimedOut:
            return "timeout"
        except RequestFailed:
            return "other"
        return choose_health(status)

    def engine(self) -> EngineValues | None:
        answer = request(self._origin, "GET", "/metrics", self._health_timeout)
        if answer.status != 200:
            raise SourceError(f"GET /metrics of {self._origin}: status {answer.status} instead of 200")
        return parse_engine(answer.body)

    def canary(self) -> CanaryResult:
        """One token for a prompt never seen before. The connection is closed at the deadline: vLLM then aborts it."""
        started = time.monotonic()
        try:
            if not self._model:
                self._model = parse_model(self._get("/v1/models", self._canary_timeout))
            body = canary_body(self._model, os.urandom(8).hex())
            left = self._canary_timeout - (time.monotonic() - started)
            answer = request(self._origin, "POST", "/v1/completions", left, body, AGENT, max_body=MAX_SMALL_BODY)
        except TimedOut:
            return "timeout"
        except _NotApplicable:
            return "not_applicable"
        except SourceError:
            return "error"
        result = choose_canary(answer)
        if result == "not_applicable":
            self._model = ""  # another model may be served now
        return result

    def pause(self) -> PauseAnswer:
        try:
            return parse_pause(self._get("/is_paused", PAUSE_TIMEOUT))
        except RequestFailed:
            return PauseAnswer(None)

    def forget_model(self) -> None:
        self._model = ""

    def _get(self, path: str, timeout: float) -> Response:
        return request(self._origin, "GET", path, timeout, headers=AGENT, max_body=MAX_SMALL_BODY)


class _NotApplicable(Exception):
    """The server has no model to complete with."""


def choose_health(status: int) -> Health:
    if status == 200:
        return "ok"
    return "503" if status == 503 else "other"


def choose_canary(answer: Response) -> CanaryResult:
    """4xx: this model or this key cannot complete, which says nothing about the engine."""
    if answer.status == 200:
        return "ok" if b'"choices"' in answer.body else "error"
    return "not_applicable" if 400 <= answer.status < 500 else "error"


def canary_body(model: str, unique: str) -> bytes:
    return json.dumps({"model": model, "prompt": f"canary {unique}", "max_tokens": 1, "temperature": 0}).encode()


def parse_model(answer: Response) -> str:
    """The first model of /v1/models. Raises SourceError when the answer names none."""
    if 400 <= answer.status < 500:
        raise _NotApplicable
    try:
        model = json.loads(answer.body)["data"][0]["id"]
    except (ValueError, KeyError, IndexError, TypeError):
        model = None
    if answer.status != 200 or not isinstance(model, str) or not model:
        raise SourceError(f"/v1/models: status {answer.status}, no model in {answer.body[:80]!r}")
    return model


def parse_pause(answer: Response) -> PauseAnswer:
    """Any 4xx: the server does not have the question, and will not before its next start."""
    if 400 <= answer.status < 500:
        return PauseAnswer(None, supported=False)
    try:
        paused = json.loads(answer.body)["is_paused"]
    except (ValueError, KeyError, TypeError):
        paused = None
    return PauseAnswer(paused if answer.status == 200 and isinstance(paused, bool) else None)

"""The requests of the exporter to a vLLM server, and what the answers mean."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Health, shown
from vllm_exporter.net.http import ClientResponse, Origin, Refused, RequestFailed, TimedOut, monitor_token, request
from vllm_exporter.net.json_body import parse_number, parse_object
from vllm_exporter.net.keep_alive import KeptConnection
from vllm_exporter.subjects.server.canaries import NO_TOKENS, CanaryResult, CanaryTokens
from vllm_exporter.subjects.server.canary_request import NotApplicable, Reply, canary_body, choose_canary, parse_models
from vllm_exporter.subjects.server.engine import EngineReading
from vllm_exporter.subjects.server.metrics import parse_metrics

PAUSE_TIMEOUT = 2.0  # seconds: a round trip to the engine takes 3 ms, and a hung one never answers
DEEP_TIMEOUT = 3.0  # seconds of a deep probe, which waits for the step in progress
MAX_SMALL_BODY = 1024 * 1024  # bytes; the answers to all but /metrics
AGENT = {"User-Agent": "vllm-monitor-canary"}  # so that access logs and per-client limits can recognise it

DeepProbe = Literal["is_paused", "is_sleeping", "check_health"]
DEEP_PROBES: tuple[DeepProbe, ...] = ("is_paused", "is_sleeping", "check_health")


@dataclass(frozen=True)
class PauseAnswer:
    """`paused` is None when no answer came; `supported` is False when there is no such endpoint (dev mode off)."""

    paused: bool | None
    supported: bool = True


@dataclass(frozen=True)
class DeepAnswer:
    """The answer of a management endpoint that asks the engine, and with check_health its workers."""

    answered: bool
    seconds: float = 0.0
    supported: bool = True  # False: there is no such endpoint (dev mode off)
    yes: bool | None = None  # what is_paused and is_sleeping say


@dataclass(frozen=True)
class ServerInfo:
    """The answers of a server about itself, in printable characters. Empty and None: it does not say."""

    version: str = ""
    models: tuple[str, ...] = ()
    load: float | None = None  # requests in flight; always 0 without --enable-server-load-tracking


NOTHING_SAID = ServerInfo()
NO_FAMILIES = "no vllm: families of an engine (--disable-log-stats, or not vLLM)"


class VllmApi(Protocol):
    """One server. A failed request is an answer as well: only `engine` raises."""

    def health(self) -> Health: ...

    def engine(self) -> EngineReading | None:
        """Returns None if /metrics has no vllm: families. Raises SourceError when it could not be read."""
        ...

    def canary(self) -> tuple[CanaryResult, CanaryTokens]: ...

    def pause(self) -> PauseAnswer: ...

    def deep(self, probe: DeepProbe) -> DeepAnswer: ...

    def about(self) -> ServerInfo: ...

    def forget_model(self) -> None:
        """Makes the next canary ask for the model's name again."""
        ...

    def close(self) -> None: ...


# What vLLM's /health says with a 500: Starlette's words for an error that nobody caught, or nothing (0.6 and later).
UNCAUGHT = (b"Internal Server Error", b"")


class HttpVllmApi(VllmApi):
    """A server over HTTP. `health` and `engine` share a kept connection and must be called from one thread."""

    def __init__(self, origin: Origin, health_timeout: float, canary_timeout: float) -> None:
        self._origin = origin
        self._health_timeout = health_timeout
        self._canary_timeout = canary_timeout
        self._kept = KeptConnection(origin, AGENT)
        self._model = ""

    def health(self) -> Health:
        try:
            answer = self._kept.get("/health", self._health_timeout)
        except Refused:
            return "refused"
        except TimedOut:
            return "timeout"
        except RequestFailed:
            return "other"
        return choose_health(answer.status, answer.body)

    def engine(self) -> EngineReading | None:
        answer = self._kept.get("/metrics", self._health_timeout)
        if answer.status != 200:
            raise SourceError(f"GET /metrics of {self._origin}: status {answer.status} instead of 200")
        if answer.encoding:
            raise SourceError(f"GET /metrics of {self._origin}: compressed ({shown(answer.encoding)}) unasked")
        return parse_metrics(answer.body, answer.whole)

    def canary(self) -> tuple[CanaryResult, CanaryTokens]:
        """Requests one token for a new prompt. The connection is closed at the deadline: vLLM then aborts it."""
        started = time.monotonic()
        try:
            if not self._model:
                self._model = parse_models(self._get("/v1/models", self._canary_timeout))[0]
            left = self._canary_timeout - (time.monotonic() - started)
            reply = Reply(time.monotonic)
            body = canary_body(self._model)
            answer = request(
                self._origin, "POST", "/v1/completions", left, body, AGENT, MAX_SMALL_BODY, heard=reply.heard
            )
        except TimedOut:
            return "timeout", NO_TOKENS
        except NotApplicable:
            return "not_applicable", NO_TOKENS
        except SourceError:
            return "error", NO_TOKENS
        result = choose_canary(answer)
        if result == "not_applicable":
            self._model = ""  # another model may be served now
        return result, reply.tokens(answer.body) if result == "ok" else NO_TOKENS

    def pause(self) -> PauseAnswer:
        try:
            return parse_pause(self._get("/is_paused", PAUSE_TIMEOUT))
        except RequestFailed:
            return PauseAnswer(None)

    def deep(self, probe: DeepProbe) -> DeepAnswer:
        started = time.monotonic()
        try:
            answer = self._ask_deep(probe)
        except RequestFailed:
            return DeepAnswer(False, time.monotonic() - started)
        return parse_deep(answer, probe, time.monotonic() - started)

    def about(self) -> ServerInfo:
        """Sends three small requests; one without an answer leaves its part empty."""
        version, load = self._ask_json("/version"), self._ask_json("/load")
        try:
            models = tuple(map(shown, parse_models(self._get("/v1/models", self._health_timeout))))
        except (NotApplicable, SourceError):
            models = ()
        return ServerInfo(parse_text(version, "version"), models, parse_number(load, "server_load"))

    def forget_model(self) -> None:
        self._model = ""

    def close(self) -> None:
        self._kept.close()

    def _ask_deep(self, probe: DeepProbe) -> ClientResponse:
        if probe != "check_health":
            return self._get(f"/{probe}", DEEP_TIMEOUT)
        body = json.dumps({"method": "check_health", "timeout": DEEP_TIMEOUT}).encode()
        headers = {**AGENT, **monitor_token(self._origin.monitor_token_file)}
        return request(self._origin, "POST", "/collective_rpc", DEEP_TIMEOUT, body, headers, MAX_SMALL_BODY)

    def _ask_json(self, path: str) -> Mapping[str, object]:
        try:
            answer = self._get(path, self._health_timeout)
        except RequestFailed:
            return {}
        return parse_object(answer.body) if answer.status == 200 else {}

    def _get(self, path: str, timeout: float) -> ClientResponse:
        return request(self._origin, "GET", path, timeout, headers=AGENT, max_body=MAX_SMALL_BODY)


def choose_health(status: int, body: bytes) -> Health:
    """Chooses the result. Releases before 0.10 say 500 of an engine that died (vllm-project/vllm#5060)."""
    if status == 200:
        return "ok"
    return "503" if status == 503 or (status == 500 and body in UNCAUGHT) else "other"


def parse_pause(answer: ClientResponse) -> PauseAnswer:
    """Parses /is_paused. Any 4xx: the server lacks the endpoint, and will until its next start."""
    if 400 <= answer.status < 500:
        return PauseAnswer(None, supported=False)
    paused = parse_object(answer.body).get("is_paused")
    return PauseAnswer(paused if answer.status == 200 and isinstance(paused, bool) else None)


def parse_deep(answer: ClientResponse, probe: DeepProbe, seconds: float) -> DeepAnswer:
    """Parses a deep probe. 4xx: not offered. check_health answers {"results": [null]} if each worker was reached."""
    if 400 <= answer.status < 500:
        return DeepAnswer(False, seconds, supported=False)
    said = parse_object(answer.body)
    if probe == "check_health":
        return DeepAnswer(answer.status == 200 and isinstance(said.get("results"), list), seconds)
    yes = said.get(probe)
    known = answer.status == 200 and isinstance(yes, bool)
    return DeepAnswer(known, seconds, yes=bool(yes) if known else None)


def parse_text(said: Mapping[str, object], key: str) -> str:
    value = said.get(key)
    return shown(value) if isinstance(value, str) else ""

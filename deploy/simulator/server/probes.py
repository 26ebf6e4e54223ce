"""The endpoints that need no engine: /health, /ping, /version, /load, /metrics, /v1/models."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.simulator.metrics.process import process_text
from deploy.simulator.metrics.registry import CONTENT_TYPE, Registry
from deploy.simulator.options import VERSION, ServerOptions
from deploy.simulator.server.http1 import Answer, HttpRequest, json_answer
from deploy.simulator.server.routes import Handler


class Probes:
    """`healthy` is a flag, not a question to the engine: a hung one is healthy. `extra_bytes`: pretended memory."""

    def __init__(
        self,
        options: ServerOptions,
        registry: Registry,
        healthy: Callable[[], bool],
        in_flight: Callable[[], int],
        extra_bytes: Callable[[], int],
    ) -> None:
        self._options = options
        self._registry = registry
        self._healthy = healthy
        self._in_flight = in_flight
        self._extra_bytes = extra_bytes
        self._created = int(time.time())

    def table(self) -> dict[tuple[str, str], Handler]:
        return {
            ("GET", "/health"): self._health,
            ("GET", "/ping"): self._health,
            ("POST", "/ping"): self._health,
            ("GET", "/version"): self._version,
            ("GET", "/load"): self._load,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/v1/models"): self._models,
        }

    async def _health(self, _: HttpRequest) -> Answer:
        return Answer(200 if self._healthy() else 503)

    async def _version(self, _: HttpRequest) -> Answer:
        return json_answer({"version": VERSION})

    async def _load(self, _: HttpRequest) -> Answer:
        return json_answer({"server_load": self._in_flight() if self._options.load_tracking else 0})

    async def _metrics(self, _: HttpRequest) -> Answer:
        lines = [*process_text(self._extra_bytes()), *self._registry.text(), ""]
        return Answer(body="\n".join(lines).encode(), content_type=CONTENT_TYPE)

    async def _models(self, _: HttpRequest) -> Answer:
        card = {
            "id": self._options.model,
            "object": "model",
            "created": self._created,
            "owned_by": "vllm",
            "root": self._options.model,
            "parent": None,
            "max_model_len": self._options.engine.max_model_len,
            "permission": [],
        }
        return json_answer({"object": "list", "data": [card]})

"""The endpoints of VLLM_SERVER_DEV_MODE=1. Those that ask the engine do not return while it hangs, as in vLLM."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from deploy.simulator.errors import EngineDead
from deploy.simulator.frontend import Frontend
from deploy.simulator.loglines import Log
from deploy.simulator.options import VERSION, ServerOptions
from deploy.simulator.server.http1 import Answer, HttpRequest, json_answer
from deploy.simulator.server.routes import Handler
from deploy.simulator.server.wording import ApiError, bad_field, engine_dead

T = TypeVar("T")

PAUSE_MODES = ("abort", "wait", "keep")


class Management:
    """One server's."""

    def __init__(self, options: ServerOptions, frontend: Frontend, log: Log) -> None:
        self._options = options
        self._frontend = frontend
        self._log = log

    def table(self) -> dict[tuple[str, str], Handler]:
        return {
            ("GET", "/is_paused"): self._asking("is_paused"),
            ("GET", "/is_sleeping"): self._asking("is_sleeping"),
            ("POST", "/pause"): self._pause,
            ("POST", "/resume"): self._resume,
            ("POST", "/sleep"): self._sleep,
            ("POST", "/wake_up"): self._wake_up,
            ("POST", "/collective_rpc"): self._collective_rpc,
            ("POST", "/abort_requests"): self._abort_requests,
            ("POST", "/reset_prefix_cache"): self._reset_prefix_cache,
            ("GET", "/server_info"): self._server_info,
        }

    def _asking(self, question: str) -> Callable[[HttpRequest], Awaitable[Answer]]:
        async def ask(_: HttpRequest) -> Answer:
            return json_answer({question: await self._call(question)})

        return ask

    async def _pause(self, request: HttpRequest) -> Answer:
        mode = _choice(request, "mode", PAUSE_MODES, "abort")
        await self._call("pause", mode)
        self._log.info("scheduler.py:1904", f"setting pause state to PAUSED_{'ALL' if mode == 'keep' else 'NEW'}")
        return json_answer({"status": "paused"})

    async def _resume(self, _: HttpRequest) -> Answer:
        await self._call("resume")
        self._log.info("scheduler.py:1904", "setting pause state to UNPAUSED")
        return json_answer({"status": "resumed"})

    async def _sleep(self, request: HttpRequest) -> Answer:
        level = int(_choice(request, "level", ("0", "1", "2"), "1"))
        await _answered(self._frontend.sleep(level))
        self._log.info("abstract.py:327", "It took 0.012000 seconds to fall asleep.")
        return json_answer({"status": "sleeping", "level": level})

    async def _wake_up(self, _: HttpRequest) -> Answer:
        await _answered(self._frontend.wake_up())
        self._log.info("abstract.py:352", "It took 0.004000 seconds to wake up tags {'weights', 'kv_cache'}.")
        return json_answer({"status": "awake", "tags": None})

    async def _collective_rpc(self, request: HttpRequest) -> Answer:
        method = _body(request).get("method")
        if method is None:
            raise ApiError(400, "Bad Request", "Missing 'method' in request body")
        if method != "check_health":
            raise ApiError(500, "InternalServerError", f"Call to collective_rpc method failed: {method!r}")
        await self._call("check_health")
        return json_answer({"results": [None]})

    async def _abort_requests(self, request: HttpRequest) -> Answer:
        wanted = _body(request).get("request_ids") or self._frontend.ids
        return json_answer({"status": "aborted", "aborted": self._frontend.abort(tuple(map(str, wanted)))})

    async def _reset_prefix_cache(self, _: HttpRequest) -> Answer:
        done = await self._call("reset_prefix_cache")
        failed = "Failed to reset prefix cache because some blocks are not freed yet"
        words = "Successfully reset prefix cache" if done else failed
        self._log.info("block_pool.py:540", words)
        return json_answer({"success": done})

    async def _server_info(self, _: HttpRequest) -> Answer:
        engine = ", ".join(f"{name}={value!r}" for name, value in asdict(self._options.engine).items())
        config = f"model={self._options.model!r}, {engine}"
        env = {"VLLM_SERVER_DEV_MODE": True}
        return json_answer({"vllm_config": config, "vllm_env": env, "system_env": {"vllm_version": VERSION}})

    async def _call(self, name: str, argument: str = "") -> object:
        return await _answered(self._frontend.call(name, argument))


async def _answered(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except EngineDead:
        raise engine_dead() from None


def _choice(request: HttpRequest, name: str, known: tuple[str, ...], default: str) -> str:
    value = request.query.get(name, default)
    if value not in known:
        raise bad_field("literal_error", name, f"Input should be one of {', '.join(known)}", value)
    return value


def _body(request: HttpRequest) -> Mapping[str, Any]:
    try:
        body = request.json()
    except ValueError:
        raise ApiError(400, "Bad Request", "Invalid JSON format") from None
    if not isinstance(body, dict):
        raise ApiError(400, "Bad Request", "Request body must be a JSON object")
    return body

"""The ASGI middleware: follows each request of a user to its true end, without touching a byte of it.

vLLM counts what its engine finished. What is refused before, given up by its client, or breaks inside a stream is seen
only here. Whom the door turns away does not reach it. `--middleware vllm_monitor.Middleware` puts it outermost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any

from vllm_monitor import asked_for, exceptions
from vllm_monitor.answers import Message, Receive, Send
from vllm_monitor.body_scan import BodyScan
from vllm_monitor.door import Door
from vllm_monitor.outcomes import ERROR_BODY, Exchange
from vllm_monitor.process import this_process
from vllm_monitor.requests import Requests
from vllm_monitor.tenants import tenant_header, tenant_of
from vllm_monitor.throttle import release
from vllm_monitor.tokens import look

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
LOGGER = logging.getLogger("vllm_monitor")


class Middleware:
    """Wraps an ASGI application. Without the directory of snapshot files it passes everything on and counts nothing.

    With a token file it guards management paths all the same.
    """

    def __init__(self, app: App) -> None:
        """Raises nothing: an exception here would end the server's start."""
        self._app = app
        self._requests: Requests | None = None
        self._exceptions: exceptions.Exceptions | None = None
        self._tenant_header = tenant_header(os.environ)
        self._door = Door(os.environ)
        try:
            self._begin()
        except Exception:
            LOGGER.exception("vllm_monitor: the middleware could not start; requests are served and not counted")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        requests, http = self._requests, scope["type"] == "http"
        if http and await self._door.answers(scope, receive, send):
            return
        if requests is None or not http or not self._door.is_of_a_user(scope):
            await self._app(scope, receive, send)
            return
        exchange = requests.begin(monotonic(), scope, tenant_of(scope["headers"], self._tenant_header))
        if requests.log is not None:
            receive, send = requests.log.follow(exchange, receive, send)
        try:
            scan, send = BodyScan(), watching(send, exchange)
            receive = listening(receive, exchange, scan)
            admitted = await self._door.lets_in(exchange, scan, requests.others, receive, send)
            if admitted is not None:
                await self._app(scope, admitted, send)
        except BaseException as error:
            look(exchange)
            exchange.failed(error)
            if self._exceptions is not None:
                self._exceptions.handled(error, exchange)
            raise
        finally:
            release(exchange)
            requests.end(exchange, monotonic())

    def _begin(self) -> None:
        asked_for.health_log()
        process = this_process()
        if process is not None:
            background = process.background
            self._requests = Requests(background.series, background.lines, process.tokens, asked_for.request_log())
            self._exceptions = exceptions.install(background)
            exceptions.watch_loop()
            process.background.add(self._requests)
            self._door.begin(process)
            process.background.start()
            process.middleware = True


def listening(receive: Receive, exchange: Exchange, scan: BodyScan) -> Receive:
    """Returns a `receive` that notices the model, and when the client goes away before its answer is complete."""

    async def received() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            scan.feed(message.get("body", b""), message.get("more_body", False))
            exchange.model, exchange.priority = scan.model, scan.priority
        elif message["type"] == "http.disconnect" and not exchange.complete:
            exchange.left = True
            look(exchange)
        return message

    return received


def watching(send: Send, exchange: Exchange) -> Send:
    """Returns a `send` that notices status, first byte, errors inside a stream, and the end."""

    async def sent(message: Message) -> None:
        await send(message)
        kind = message["type"]
        if kind == "http.response.body":
            body, more = message.get("body", b""), message.get("more_body", False)
            if body and (exchange.status != 200 or b'{"error"' in body[:ERROR_BODY]):
                exchange.keep(body)
                look(exchange)
            if not more:
                exchange.complete = True
                exchange.size = len(body)
            elif body:
                exchange.parts += 1
                if not exchange.first:
                    exchange.first = monotonic()
        elif kind == "http.response.start":
            exchange.status = message["status"]

    return sent

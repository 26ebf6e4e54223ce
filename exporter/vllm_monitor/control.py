"""The throttle over HTTP, for those who hold the token: GET, PUT and DELETE of one path of the serving port."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from vllm_monitor.answers import NOT_FOUND, Receive, Send, answer
from vllm_monitor.limits import (
    MOST_SECONDS,
    BadThrottle,
    Limit,
    Order,
    format_limit,
    parse_limits,
    parse_status,
)
from vllm_monitor.order_file import MOST_BYTES, read_order, write_order
from vllm_monitor.throttle import Throttle
from vllm_monitor.token_file import TokenFile

PATH = "/vllm-monitor/throttle"


class Control:
    """Writes the same file as the command; so an order is for all servers of the directory, if it names no port."""

    def __init__(self, folder: Path, throttle: Throttle, token: TokenFile | None) -> None:
        self._folder = folder
        self._throttle = throttle
        self._token = token

    async def handle(self, method: str, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        """Answers a request to PATH. Without a token, or with another one, the path is not there."""
        if self._token is None or not self._token.opens_to(headers):
            await answer(send, 404, NOT_FOUND)
            return
        try:
            if method == "PUT":
                limits, seconds, status = parse_wish(await _body(receive))
                write_order(self._folder, limits, seconds, status)
            elif method == "DELETE":
                write_order(self._folder, (), 0.0, 429)
            elif method != "GET":
                await answer(send, 405, {"detail": "Method Not Allowed"}, [(b"allow", b"GET, PUT, DELETE")])
                return
            order = read_order(self._folder)
        except BadThrottle as error:
            await answer(send, 400, {"detail": str(error)})
        except OSError as error:
            await answer(send, 500, {"detail": f"the throttle's file: {error.strerror}"})
        else:
            await answer(send, 200, self._about(order))

    def _about(self, order: Order | None) -> dict[str, Any]:
        """Returns the order as it is written, and what this process keeps to: a quarter of a second later the same."""
        task = self._throttle.in_force(time.monotonic())
        return {
            "generation": order.generation if order else 0,
            "seconds": round(max(0.0, order.expires - time.time()), 1) if order else 0,
            "status": order.status if order else 429,
            "limits": [format_limit(limit) for limit in order.limits] if order else [],
            "in_force": task.generation if task else 0,
            "processes": task.of if task else 0,
        }


def parse_wish(text: bytes) -> tuple[tuple[Limit, ...], float, int]:
    """Returns limits, seconds and status of what is wished for. Raises BadThrottle."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise BadThrottle("the body is no JSON") from None
    if not isinstance(given, dict) or not given.keys() <= {"limits", "seconds", "status"}:
        raise BadThrottle("the body must be an object with limits, seconds and, if you like, status")
    seconds = given.get("seconds")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds <= MOST_SECONDS:
        raise BadThrottle(f"seconds must be a number up to {MOST_SECONDS:g}")
    return parse_limits(given.get("limits")), float(seconds), parse_status(given.get("status", 429))


async def _body(receive: Receive) -> bytes:
    """Returns the whole body. Raises BadThrottle when it is too long, or the client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BadThrottle("the body did not come to its end")
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise BadThrottle(f"the body is longer than {MOST_BYTES} bytes")
        if not message.get("more_body", False):
            return bytes(body)

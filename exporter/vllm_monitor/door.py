"""What a request meets before the application: guard of management paths, throttle, and the throttle's control."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from vllm_monitor.answers import NOT_FOUND, Message, Receive, Send, answer
from vllm_monitor.body_scan import BodyScan
from vllm_monitor.control import PATH, Control
from vllm_monitor.guard import Guard
from vllm_monitor.limits import Limit
from vllm_monitor.orders import Orders
from vllm_monitor.outcomes import Exchange, asks_a_model, is_canary
from vllm_monitor.paths import route
from vllm_monitor.peers import Peers
from vllm_monitor.process import Process
from vllm_monitor.throttle import Reason, Refusal, Throttle
from vllm_monitor.token_file import TokenFile

WORDS: Mapping[Reason, str] = {
    "concurrency": "{} requests at once",
    "requests": "{} requests a second",
    "tokens": "{} tokens a second",
}
TYPES = {429: "rate_limit_exceeded", 503: "service_unavailable"}


class Door:
    """Stands open until `begin`, unless there is a token file: then management paths are closed from the start."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._token = TokenFile.of(environment)
        self._guard = Guard(self._token)
        self._throttle = Throttle()
        self._control: Control | None = None
        self._idle = self._token is None

    def begin(self, process: Process) -> None:
        """Takes orders from the process's directory, and counts. Raises OSError."""
        background = process.background
        folder, port = background.folder, background.port
        orders = Orders(folder, port, Peers(folder, background.identity, port), self._throttle)
        if self._token is not None:
            self._control = Control(folder, self._throttle, self._token)
        background.add(orders)
        background.add(lambda now: orders.counts_in(background.series, now))
        background.add(lambda now: self._guard.counts_in(background.series, now))
        self._idle = False

    async def answers(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> bool:
        """True if the request was none for the application, and is answered."""
        if self._idle:
            return False
        if self._control is not None and route(scope) == PATH:
            await self._control.handle(scope["method"], scope["headers"], receive, send)
            return True
        if self._guard.refuses(scope):
            await answer(send, 404, NOT_FOUND)
            return True
        return False

    def is_of_a_user(self, scope: Mapping[str, Any]) -> bool:
        """True for what is counted and throttled. While there is a throttle, only so many canaries are canaries as we
        send."""
        if not asks_a_model(scope):
            return False
        if not is_canary(scope):
            return True
        now = monotonic()
        return self._throttle.in_force(now) is not None and not self._throttle.lets_canary_in(now)

    async def lets_in(
        self,
        exchange: Exchange,
        scan: BodyScan,
        others: Callable[[Exchange], Iterable[Exchange]],
        receive: Receive,
        send: Send,
    ) -> Receive | None:
        """Returns what gives the request's messages to the application; None: it was refused and is answered.

        `receive` feeds the scan. Only while the body decides it is read ahead, as far as the scan looks.
        """
        task = self._throttle.in_force(monotonic())
        if task is not None and task.reads_body:
            receive = await read_ahead(receive, scan)
            task = self._throttle.in_force(monotonic())
        if task is None:
            return receive
        refusal = self._throttle.refuses(exchange, others(exchange), task, monotonic())
        if refusal is None:
            return receive
        await refuse(send, refusal)
        return None


async def read_ahead(receive: Receive, scan: BodyScan) -> Receive:
    """Receives until the scan has seen enough, and returns a `receive` that begins with what came."""
    held: deque[Message] = deque()
    while not scan.done:
        held.append(await receive())
        if held[-1]["type"] != "http.request":
            break

    async def received() -> Message:
        return held.popleft() if held else await receive()

    return received


async def refuse(send: Send, refusal: Refusal) -> None:
    """Answers as OpenAI's servers do."""
    seconds = refusal.retry_after
    most = WORDS[refusal.reason].format(_most(refusal))
    message = f"This server sheds load: it takes {most}{_of_whom(refusal.limit)}. Try again in {seconds} s."
    error = {"message": message, "type": TYPES[refusal.status], "param": None, "code": refusal.status}
    await answer(send, refusal.status, {"error": error}, [(b"retry-after", b"%d" % seconds)])


def _most(refusal: Refusal) -> str:
    limit = refusal.limit
    value = {
        "concurrency": limit.concurrency,
        "requests": limit.requests_per_second,
        "tokens": limit.tokens_per_second,
    }[refusal.reason]
    return f"{value:g}"


def _of_whom(limit: Limit) -> str:
    named = [limit.model and f"for model {limit.model}", limit.tenant and f"of tenant {limit.tenant}"]
    named += [f"of priority {limit.priority_from} and later"] if limit.priority_from is not None else []
    return "".join(f" {words}" for words in named if words)

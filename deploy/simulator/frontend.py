"""The API server's side of the engine: who waits for which request, what the metrics say, whether the engine lives."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from deploy.simulator.engine.driver import Abort, Add, Call, Death, Message, Output
from deploy.simulator.engine.model import FinishReason, Gauges, Request
from deploy.simulator.errors import EngineDead
from deploy.simulator.links import EngineLink
from deploy.simulator.metrics.recorder import SLEEP_STATES, Recorder


@dataclass(frozen=True)
class Chunk:
    """Tokens that came since the last one."""

    tokens: int
    reason: FinishReason | None = None
    cached_tokens: int = 0  # known at the end


class Frontend:
    """One engine's requests."""

    def __init__(
        self, link: EngineLink, recorder: Recorder, died: Callable[[Death | None], None], delay: float = 0.0
    ) -> None:
        """`delay`: real seconds that each request takes before the engine has it."""
        self._link = link
        self._recorder = recorder
        self._died = died
        self._delay = delay
        self._requests: dict[str, _Waiting] = {}
        self._calls: dict[int, asyncio.Future[object]] = {}
        self._numbers = itertools.count()
        self.dead = False
        self.prompt_tokens = 0  # since start, for the log's throughput
        self.generation_tokens = 0
        self.gauges = Gauges()  # of the last step
        self._queried = 0  # tokens looked for in the prefix cache
        self._hit = 0  # and found

    def start(self) -> None:
        self._link.start(self._receive, self._end)

    @property
    def in_flight(self) -> int:
        return len(self._requests)

    @property
    def hit_rate(self) -> float:
        return self._hit / self._queried if self._queried else 0.0

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._requests)

    def send(self, message: Message) -> None:
        """Raises EngineDead."""
        if self.dead:
            raise EngineDead
        self._link.send(message)

    async def generate(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Chunks until the one with a reason. Leaving early aborts the request. Raises EngineDead."""
        if self._delay:
            await asyncio.sleep(self._delay)
        self.send(Add(request))
        waiting = self._requests[request.id] = _Waiting()
        try:
            while waiting.reason is None:
                yield await waiting.chunk()
        finally:
            del self._requests[request.id]
            if waiting.reason is None and not self.dead:
                self._link.send(Abort((request.id,)))

    async def call(self, name: str, argument: str = "") -> object:
        """Returns the engine's answer; waits for ever while it hangs. Raises EngineDead."""
        number = next(self._numbers)
        future = self._calls[number] = asyncio.get_running_loop().create_future()
        try:
            self.send(Call(number, name, argument))
            return await future
        finally:
            del self._calls[number]

    async def sleep(self, level: int) -> None:
        """Level 0 pauses only, and /metrics then shows none of the states. Raises EngineDead."""
        await self.call("sleep", str(level))
        self._recorder.sleep_state(SLEEP_STATES[level] if level else "")

    async def wake_up(self) -> None:
        """Raises EngineDead."""
        await self.call("wake_up")
        self._recorder.sleep_state("awake")

    def abort(self, ids: tuple[str, ...]) -> int:
        """Their clients get what there is, with finish_reason abort; vLLM counts nothing. How many there were."""
        known = [id_ for id_ in ids if id_ in self._requests]
        for id_ in known:
            self._requests[id_].finish("abort", 0)
        self.send(Abort(tuple(known)))
        return len(known)

    def kill(self) -> None:
        """The engine counts as dead from now on, whatever it does."""
        self._link.close()
        self._end(None)

    def close(self) -> None:
        self._link.close()

    def _receive(self, output: Output) -> None:
        for result in output.results:
            self._recorder.step(result)
            self.prompt_tokens += result.computed_prompt_tokens
            self.generation_tokens += len(result.new_tokens)
            self._queried += result.prefix_queries
            self._hit += result.prefix_hits
            self.gauges = result.gauges
            for id_ in result.new_tokens:
                if waiting := self._requests.get(id_):
                    waiting.add_token()
            for finished in result.finished:
                if waiting := self._requests.get(finished.id):
                    waiting.finish(finished.reason, finished.cached_tokens)
        for reply in output.replies:
            if future := self._calls.get(reply.number):
                future.set_result(reply.value)

    def _end(self, death: Death | None) -> None:
        self.dead = True
        for waiting in self._requests.values():
            waiting.fail()
        for future in self._calls.values():
            if not future.done():
                future.set_exception(EngineDead())
        self._died(death)


class _Waiting:
    """One request's tokens that nobody has taken yet."""

    def __init__(self) -> None:
        self.reason: FinishReason | None = None
        self._tokens = 0
        self._cached = 0
        self._failed = False
        self._news = asyncio.Event()

    def add_token(self) -> None:
        self._tokens += 1
        self._news.set()

    def finish(self, reason: FinishReason, cached: int) -> None:
        self.reason, self._cached = reason, cached
        self._news.set()

    def fail(self) -> None:
        self._failed = self.reason is None
        self._news.set()

    async def chunk(self) -> Chunk:
        await self._news.wait()
        self._news.clear()
        if self._failed:
            raise EngineDead
        tokens, self._tokens = self._tokens, 0
        return Chunk(tokens, self.reason, self._cached)

"""Clients that ask again as soon as they are done: what saturates a server, or aborts, or sends poison."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from deploy.simulator.load.client import Endpoint, Wish, complete

PAUSE = 0.5  # real seconds after an answer that was no answer, so that a dead server is not hammered
PATIENCE = 600.0  # real seconds of one request


class Swarm:
    """`wish(number)` says what the request of that number asks for; the first comes after `first` real seconds."""

    def __init__(
        self, target: Endpoint, clients: int, wish: Callable[[int], Wish], pause: float = 0.0, first: float = 0.0
    ) -> None:
        self._target = target
        self._wish = wish
        self._pause = pause
        self._first = first
        self._numbers = itertools.count()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._client()) for _ in range(clients)]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _client(self) -> None:
        await asyncio.sleep(self._first)
        while True:
            timing = await complete(self._target, self._wish(next(self._numbers)), PATIENCE)
            await asyncio.sleep(self._pause if timing.outcome in ("ok", "left") else max(PAUSE, self._pause))

"""HTTP load on a vLLM server: a fixed number of clients, each with one request at a time, for a limited time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter

REQUEST_TIMEOUT = 300.0  # a client that waits as long as vLLM's own users do; stop() ends it earlier
PAUSE_AFTER_ERROR = 0.5  # so that a dead server is not hammered


class Load:
    """A context manager; `results` counts 'ok', HTTP statuses and names of errors."""

    def __init__(
        self,
        port: int,
        clients: int,
        seconds: float,
        prompt_tokens: int = 20,
        max_tokens: int = 200,
        once: bool = False,  # one request a client
    ) -> None:
        self.results: Counter[str] = Counter()
        self._port = port
        self._clients = clients
        self._seconds = seconds
        self._once = once
        self._prompt_tokens = prompt_tokens
        self._max_tokens = max_tokens
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._stop = asyncio.Event()

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Drops all connections. May be called twice."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended in this very moment
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=10)

    def wait(self, seconds: float) -> bool:
        """Waits until all clients are done; False when they are not in time."""
        self._thread.join(timeout=seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._all())
        finally:
            self._loop.close()

    async def _all(self) -> None:
        tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        stop = asyncio.create_task(_waited(self._stop))
        finished = asyncio.create_task(_all_done(tasks))
        await asyncio.wait({stop, finished}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (stop, finished, *tasks):
            task.cancel()
        await asyncio.gather(stop, finished, *tasks, return_exceptions=True)

    async def _client(self, number: int) -> None:
        turn = 0
        while turn == 0 or not self._once:
            outcome = await self._request(number, turn)
            self.results[outcome] += 1
            turn += 1
            if outcome != "ok":
                await asyncio.sleep(PAUSE_AFTER_ERROR)

    async def _request(self, number: int, turn: int) -> str:
        """One completion on a connection of its own. The prompt is unique, so that no prefix cache shortens it."""
        prompt = [10 + (number * 31 + turn * 17 + index * 7) % 900 for index in range(self._prompt_tokens)]
        asked = {"model": "tiny", "prompt": prompt, "max_tokens": self._max_tokens, "ignore_eos": True}
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                status = await _post(self._port, json.dumps(asked).encode())
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            return type(error).__name__
        return "ok" if status == 200 else str(status)


async def _waited(event: asyncio.Event) -> None:
    await event.wait()


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def _post(port: int, body: bytes) -> int:
    """The HTTP status once the whole answer was read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        answer = await reader.read()
        if not answer:
            raise ConnectionResetError("closed without an answer")
        return int(answer.split(maxsplit=2)[1])
    finally:
        writer.close()

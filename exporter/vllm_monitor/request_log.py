"""The log of requests as they go on, with ENABLE_REQUEST_TIMING=1: a start that no line completes names a hang.

    8c6d41 [REQUEST START] action=completion-chat
    8c6d41 [REQUEST] Ensuring engine initialized...
    8c6d41 [REQUEST] Engine ready (took 0.01s)
    8c6d41 [REQUEST] Starting generation: types=['text'], max_tokens=512
    8c6d41 [REQUEST COMPLETE] total=3.45s, generation=3.21s, ~tokens=87, tokens/sec=27.1

The word in front is the same for all lines of a request. vLLM's engine is there before its first request, so "engine
ready" here says that the server has all of the request. Lines are written by a thread of their own, which may wait for
whoever reads the log; the event loop does not.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from itertools import count
from queue import SimpleQueue
from time import monotonic

from vllm_monitor.answers import Message, Receive, Send
from vllm_monitor.outcomes import ErrorType, Exchange
from vllm_monitor.shown import show

LOGGER = logging.getLogger("vllm_monitor.requests")
MOST = 4096  # lines that wait to be written; the others are dropped, and said to be
LOOKED_AT = 1 << 16  # bytes of a body
MAX_TOKENS = re.compile(rb'"max_(?:completion_|output_)?tokens"\s{0,64}:\s{0,64}(\d{1,9})')
TYPES = {b'"image_url"': "image", b'"input_audio"': "audio", b'"audio_url"': "audio", b'"video_url"': "video"}
CHATS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")


class RequestLog:
    """The lines of this process, from the event loop to the thread that writes them."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._numbers = count(1)
        self._dropped = 0
        show(LOGGER)
        threading.Thread(target=self._write, name="vllm-monitor-requests", daemon=True).start()

    def follow(self, exchange: Exchange, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Logs the start of a request. Returns a `receive` and a `send` that log and count what comes of it."""
        followed = exchange.followed = Followed(f"{os.getpid():x}-{next(self._numbers)}")
        action = "completion-chat" if exchange.scope["path"].startswith(CHATS) else "generate"
        self._say(followed, f"[REQUEST START] action={action}")
        self._say(followed, "[REQUEST] Ensuring engine initialized...")

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not followed.asked:
                followed.body += message.get("body", b"")[: LOOKED_AT - len(followed.body)]
                if not message.get("more_body", False):
                    self._asked(exchange, followed)
            return message

        async def sent(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and message.get("body") and message.get("more_body"):
                followed.chunks += 1

        return received, sent

    def completed(self, exchange: Exchange, failure: ErrorType | None) -> None:
        """Logs the end of a request, which one that failed has, too."""
        followed: Followed | None = exchange.followed
        if followed is not None:
            self._say(followed, completed(exchange, followed, failure))

    def _asked(self, exchange: Exchange, followed: Followed) -> None:
        followed.asked = monotonic()
        self._say(followed, f"[REQUEST] Engine ready (took {followed.asked - exchange.began:.2f}s)")
        self._say(followed, f"[REQUEST] Starting generation: {wanted(followed.body)}")
        followed.body = b""

    def _say(self, followed: Followed, text: str) -> None:
        if self._lines.qsize() >= MOST:
            self._dropped += 1
        else:
            self._lines.put(f"{followed.name} {text}")

    def _write(self) -> None:
        told = 0
        while True:
            LOGGER.info("%s", self._lines.get())
            if self._dropped != told:
                told = self._dropped
                LOGGER.warning("%d lines about requests were dropped: this log is not written fast enough", told)


class Followed:
    """What the log knows of a request on its way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.body = b""  # its beginning, until it is complete
        self.asked = 0.0  # CLOCK_MONOTONIC at which it was
        self.chunks = 0  # of a stream


def wanted(body: bytes) -> str:
    """Returns what a request asks for, by words of its body, which is not parsed: a prompt may quote them."""
    types = sorted({name for word, name in TYPES.items() if word in body} | {"text"})
    found = MAX_TOKENS.search(body)
    return f"types={types}, max_tokens={found[1].decode() if found else None}"


def completed(exchange: Exchange, followed: Followed, failure: ErrorType | None) -> str:
    """Returns the last line. Tokens are the engine's, '?' where it does not say them; of a stream parts are counted."""
    seconds = exchange.ended - (followed.asked or exchange.began)
    tokens = exchange.tokens.output if exchange.tokens else None
    made = f"~chunks={followed.chunks}" if followed.chunks else f"~tokens={'?' if tokens is None else tokens}"
    number = tokens if tokens is not None else followed.chunks or None
    speed = "?" if number is None or seconds <= 0 else f"{number / seconds:.1f}"
    text = f"[REQUEST COMPLETE] total={exchange.ended - exchange.began:.2f}s, generation={seconds:.2f}s, {made}"
    return f"{text}, tokens/sec={speed}" + (f", error={failure}" if failure else "")

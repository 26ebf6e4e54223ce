"""The log of requests: its words, and that nothing waits for whoever reads it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.patience import wait_for
from vllm_monitor import asked_for, request_log
from vllm_monitor.outcomes import Exchange, Tokens
from vllm_monitor.request_log import Followed, RequestLog, completed, wanted

BODY = b'{"model":"m","prompt":"hello","max_tokens":512}'


class Kept(logging.Handler):
    """Keeps messages, or holds whoever logs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def emit(self, record: logging.LogRecord) -> None:
        self.open.wait(30)
        self.messages.append(record.getMessage())


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    request_log.LOGGER.addHandler(handler)
    yield handler
    handler.open.set()
    request_log.LOGGER.removeHandler(handler)


def follow(log: RequestLog, path: str, *sent: dict[str, Any], began: float = 0.0) -> Exchange:
    """A request whose body comes, and whose answer is these messages."""
    exchange = Exchange(began or time.monotonic(), scope={"path": path})

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY}

    async def send(message: Any) -> None:
        return

    async def ask() -> None:
        heard, told = log.follow(exchange, receive, send)
        await heard()
        for message in sent:
            await told(message)

    asyncio.run(ask())
    return exchange


def test_a_request_is_told_from_its_start_to_its_end(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "monotonic", lambda: 100.0)
    log = RequestLog()
    exchange = follow(log, "/v1/chat/completions", began=100.0)
    exchange.followed.asked = exchange.began + 0.24
    exchange.ended, exchange.tokens = exchange.began + 3.45, Tokens(5, 87)
    log.completed(exchange, None)
    wait_for(lambda: len(kept.messages) == 5)
    assert len({message.split(" ")[0] for message in kept.messages}) == 1
    assert [message.split(" ", 1)[1] for message in kept.messages] == [
        "[REQUEST START] action=completion-chat",
        "[REQUEST] Ensuring engine initialized...",
        "[REQUEST] Engine ready (took 0.00s)",
        "[REQUEST] Starting generation: types=['text'], max_tokens=512",
        "[REQUEST COMPLETE] total=3.45s, generation=3.21s, ~tokens=87, tokens/sec=27.1",
    ]


def test_a_request_that_hangs_has_a_start_and_no_end(kept: Kept) -> None:
    follow(RequestLog(), "/v1/completions")
    wait_for(lambda: len(kept.messages) == 4)
    assert "[REQUEST START] action=generate" in kept.messages[0]
    assert not any("COMPLETE" in message for message in kept.messages)


def test_a_stream_has_its_parts_counted(kept: Kept) -> None:
    part = {"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True}
    start, end = {"type": "http.response.start", "status": 200}, {"type": "http.response.body", "body": b""}
    exchange = follow(RequestLog(), "/v1/completions", start, part, part, part, end)
    assert exchange.followed.chunks == 3


@pytest.mark.parametrize(
    ("chunks", "tokens", "failure", "end"),
    [
        (0, None, None, "~tokens=?, tokens/sec=?"),
        (87, None, None, "~chunks=87, tokens/sec=43.5"),
        (80, 87, None, "~chunks=80, tokens/sec=43.5"),
        (0, None, "client_abort", "~tokens=?, tokens/sec=?, error=client_abort"),
        (0, 4, "in_stream", "~tokens=4, tokens/sec=2.0, error=in_stream"),
    ],
)
def test_what_is_not_known_is_not_said(chunks: int, tokens: int | None, failure: Any, end: str) -> None:
    followed = Followed("1")
    followed.chunks = chunks
    exchange = Exchange(10.0, ended=12.0, tokens=None if tokens is None else Tokens(1, tokens))
    assert completed(exchange, followed, failure) == f"[REQUEST COMPLETE] total=2.00s, generation=2.00s, {end}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "types=['text'], max_tokens=None"),
        (b'{"max_completion_tokens" : 7}', "types=['text'], max_tokens=7"),
        (b'{"type":"image_url","max_tokens":9}', "types=['image', 'text'], max_tokens=9"),
        (b'{"max_tokens":"many"}', "types=['text'], max_tokens=None"),
        (b"\xff\x00", "types=['text'], max_tokens=None"),
    ],
)
def test_what_a_request_wants_is_read_by_its_words(body: bytes, said: str) -> None:
    assert wanted(body) == said


def test_the_body_is_not_kept(kept: Kept) -> None:
    assert follow(RequestLog(), "/v1/completions").followed.body == b""


def test_whoever_reads_slowly_holds_nobody_and_misses_lines_that_are_counted(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "MOST", 10)
    log = RequestLog()
    kept.open.clear()
    began = time.monotonic()
    for _ in range(100):
        follow(log, "/v1/completions")
    assert time.monotonic() - began < 10
    kept.open.set()
    wait_for(lambda: any("lines about requests were dropped" in message for message in kept.messages))


def test_nobody_who_did_not_ask_gets_it() -> None:
    assert asked_for.request_log({}) is None
    assert asked_for.request_log({"ENABLE_REQUEST_TIMING": "0"}) is None


def test_in_a_program_that_said_nothing_of_its_logs_the_lines_are_on_stderr() -> None:
    code = """
import time
from vllm_monitor.outcomes import Exchange
from vllm_monitor.asked_for import request_log
log = request_log({"ENABLE_REQUEST_TIMING": "1"})
log.follow(Exchange(1.0, scope={"path": "/v1/completions"}), None, None)
time.sleep(0.5)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[0].startswith("INFO ")
    assert done.stderr.splitlines()[0].endswith(" [REQUEST START] action=generate")

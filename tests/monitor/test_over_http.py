"""Requests through the middleware in a real uvicorn: each is counted once, however its connection is used."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from tests.monitor.as_vllm import DONE, ERROR_PART, LARGE, LARGE_PARTS, PART
from tests.monitor.clients import Answer, Client, request
from tests.monitor.served import Served, served
from tests.patience import wait_for

BODY = json.dumps({"model": "tiny", "prompt": "hello"}).encode()
CHAT = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}).encode()
PATH = "/v1/completions"
STREAMS = 1000
HELD_BACK = 10.0  # MiB that a client which does not read may cost: uvicorn's and the kernel's buffers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


class Before:
    """What was counted before; `wait` waits until exactly so much more is."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._counts = server.counts() if list(server.folder.glob("*.snap")) else {}

    def more(self) -> dict[str, float]:
        """Ends of requests since then: `success`, or the type of the error."""
        found = {}
        for name, value in self._server.counts().items():
            family, _, word = name.partition(" ")
            if family == "vllm_request_errors_total" or name == "vllm_requests_total success":
                found[word] = value - self._counts.get(name, 0.0)
        return {word: value for word, value in found.items() if value}

    def wait(self, **expected: float) -> None:
        wait_for(lambda: self.more() == expected, f"{expected}", self.more)
        assert in_flight(self._server) == 0


def in_flight(server: Served, phase: str = "") -> float:
    counts, name = server.counts(), "vllm_requests_in_flight"
    return sum(counts.get(f"{name} {one}", 0.0) for one in ((phase,) if phase else ("waiting", "answering")))


def behave(how: str) -> Mapping[str, str]:
    return {"behave": how}


@pytest.mark.parametrize(
    ("path", "body"),
    [(PATH, BODY), ("/v1/chat/completions", CHAT), ("/v1/embeddings", b'{"model":"tiny","input":["a","b"]}')],
)
@pytest.mark.parametrize(
    ("how", "text"), [("plain", b'{"choices":[{"text":" a"}]}'), ("stream", PART + DONE)], ids=["plain", "stream"]
)
def test_each_kind_of_request_is_answered_unchanged_and_counted(
    server: Served, path: str, body: bytes, how: str, text: bytes
) -> None:
    before = Before(server)
    assert asyncio.run(Client(server.port).ask(path, body, behave(how))) == Answer(200, text, True)
    before.wait(success=1)


def test_requests_over_one_connection_are_counted_each(server: Served) -> None:
    before = Before(server)
    kinds = ["plain", "stream", "validation", "not_found", "in_stream", "engine_dead", "raise"] * 10

    async def ask() -> Counter[int]:
        client = Client(server.port)
        return Counter([(await client.ask(PATH, BODY, behave(how))).status for how in kinds])

    assert asyncio.run(ask()) == {200: 30, 400: 10, 404: 10, 500: 20}
    before.wait(success=20, validation=10, not_found=10, in_stream=10, engine_dead=10, internal=10)


def test_pipelined_requests_are_answered_in_order_and_counted_each(server: Served) -> None:
    before = Before(server)
    kinds = ["stream", "plain", "oom", "stream", "overload", "in_stream", "plain"]

    async def ask() -> list[Answer]:
        client = Client(server.port)
        await client.send(b"".join(request(PATH, BODY, behave(how)) for how in kinds))
        return [await client.answer() for _ in kinds]

    answers = asyncio.run(ask())
    assert [answer.status for answer in answers] == [200, 200, 500, 200, 503, 200, 200]
    assert answers[0].body == answers[3].body == PART + DONE
    assert answers[5].body == PART + ERROR_PART + DONE
    before.wait(success=4, oom=1, overload=1, in_stream=1)


def test_a_thousand_streams_at_once_are_all_on_their_way_and_then_all_counted(server: Served) -> None:
    before = Before(server)

    async def ask() -> Counter[Answer]:
        asked = [asyncio.ensure_future(Client(server.port).ask(PATH, BODY, behave("held"))) for _ in range(STREAMS)]
        await asyncio.to_thread(wait_for, lambda: in_flight(server, "answering") == STREAMS, "all streams")
        await Client(server.port).ask("/release", BODY, behave("release"))
        return Counter(await asyncio.gather(*asked))

    assert asyncio.run(ask()) == {Answer(200, PART + DONE, True): STREAMS}
    before.wait(success=STREAMS)
    assert server.counts()["vllm_inside_requests_lost_total"] == 0


def test_a_client_that_reads_slowly_holds_its_stream_back_and_gets_all_of_it(server: Served) -> None:
    before, memory = Before(server), server.resident()
    text = PART + LARGE * LARGE_PARTS + DONE

    async def ask() -> Answer:
        client = Client(server.port)
        await client.send(request(PATH, BODY, behave("large")))
        await asyncio.to_thread(wait_for, lambda: in_flight(server, "answering") == 1)
        for _ in range(10):  # looks in between, for half a second
            await asyncio.sleep(0.05)
            assert server.resident() - memory < HELD_BACK
        assert before.more() == {}
        return await client.answer()

    assert asyncio.run(ask()) == Answer(200, text, True)
    before.wait(success=1)


async def leave_before_the_body_is_complete(server: Served, client: Client) -> None:
    await client.send(request(PATH, BODY, behave("plain"))[:-5])
    await asyncio.to_thread(wait_for, lambda: in_flight(server, "waiting") == 1)
    client.leave()


async def leave_before_the_answer(server: Served, client: Client) -> None:
    await client.send(request(PATH, BODY, behave("silent")))
    await asyncio.to_thread(wait_for, lambda: in_flight(server, "waiting") == 1)
    client.leave()


async def leave_at_the_first_byte(server: Served, client: Client) -> None:
    await client.send(request(PATH, BODY, behave("endless")))
    await client.read(1)
    client.leave()


async def leave_in_the_middle(server: Served, client: Client) -> None:
    await client.send(request(PATH, BODY, behave("endless")))
    await client.read(50 * len(PART))
    client.leave()


async def leave_by_a_reset(server: Served, client: Client) -> None:
    await client.send(request(PATH, BODY, behave("endless")))
    await client.read(len(PART))
    client.leave(reset=True)


async def leave_while_the_server_waits_for_it_to_read(server: Served, client: Client) -> None:
    await client.send(request(PATH, BODY, behave("large")))
    await client.read(1)
    await asyncio.to_thread(wait_for, lambda: in_flight(server, "answering") == 1)
    client.leave()


async def say_that_nothing_more_comes(server: Served, client: Client) -> None:
    """A half-closed connection, which uvicorn takes for a client that left."""
    await client.send(request(PATH, BODY, behave("endless")))
    await client.read(1)
    client.shut()
    await asyncio.to_thread(wait_for, lambda: in_flight(server) == 0)


LEAVE = [
    leave_before_the_body_is_complete, leave_before_the_answer, leave_at_the_first_byte, leave_in_the_middle,
    leave_by_a_reset, leave_while_the_server_waits_for_it_to_read, say_that_nothing_more_comes,
]  # fmt: skip


@pytest.mark.parametrize("leave", LEAVE, ids=lambda leave: leave.__name__)
def test_a_client_that_leaves_is_an_abort_wherever_it_does(server: Served, leave: object) -> None:
    before = Before(server)
    asyncio.run(leave(server, Client(server.port)))  # type: ignore[operator]
    before.wait(client_abort=1)


def test_a_client_that_leaves_after_its_answer_is_no_abort(server: Served) -> None:
    before = Before(server)

    async def ask() -> None:
        client = Client(server.port)
        for reset in (False, True):
            assert (await client.ask(PATH, BODY, behave("stream"))).whole
            client.leave(reset)

    asyncio.run(ask())
    before.wait(success=2)


def test_a_stream_that_breaks_by_an_exception_is_counted_as_broken(server: Served) -> None:
    before = Before(server)
    answer = asyncio.run(Client(server.port).ask(PATH, BODY, behave("raise_in_stream")))
    assert (answer.status, answer.body, answer.whole) == (200, PART, False)
    before.wait(in_stream=1)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS to a port without
        b"NONSENSE\r\n\r\n",
        b"POST /v1/completions HTTP/9.9\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nContent-Length: minus one\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
    ],
)
def test_what_is_no_request_is_not_counted_and_the_next_one_is(server: Served, data: bytes) -> None:
    before = Before(server)

    async def ask() -> Answer:
        client = Client(server.port)
        await client.send(data)
        client.shut()
        assert (await client.answer()).status in (0, 400)
        return await Client(server.port).ask(PATH, BODY, behave("plain"))

    assert asyncio.run(ask()).status == 200
    before.wait(success=1)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"model": "' + b"x" * 100_000])
def test_a_body_that_is_no_json_is_the_clients_mistake(server: Served, body: bytes) -> None:
    before = Before(server)
    assert asyncio.run(Client(server.port).ask(PATH, body, {})).status == 400
    before.wait(validation=1)


def test_a_body_whose_chunks_are_broken_is_given_up(server: Served) -> None:
    before = Before(server)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()

    async def ask() -> None:
        client = Client(server.port)
        await client.send(head + b"2\r\n{}\r\nnot a number\r\n")
        await client.answer()
        client.leave()

    asyncio.run(ask())
    before.wait(client_abort=1)

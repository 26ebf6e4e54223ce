"""Ten thousand requests with all ten errors: what clients saw is, type by type, what the exporter says.

Half of them are asked of an application that ends as vLLM does, in uvicorn; half of a real vLLM. There `validation`,
`not_found` and `overload` are vLLM's own answers, clients give up for `client_abort`, and the engine is killed for
`engine_dead` and `in_stream`. `rate_limited` is our throttle's, for vLLM answers no 429. `oom`, `timeout` and
`internal` would need a device that fails: they are raised where vLLM asks its engine, and its own handlers answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import httpio
from tests.e2e.harness.vllm_server import NO_SCRIPT, find_script
from tests.e2e.test_inside import Scene, running
from tests.exporter.bench.programs import exporter
from tests.monitor.as_vllm import REFUSALS
from tests.monitor.clients import Answer, Client, request
from tests.monitor.served import served
from tests.patience import wait_for

TYPES = (
    "validation", "not_found", "rate_limited", "overload", "timeout", "client_abort", "in_stream", "engine_dead", "oom",
    "internal",
)  # fmt: skip
REQUESTS = 5000  # of each half
EACH = REQUESTS // 20
TAKES = 2 * EACH  # requests at once that the real one admits
BY_ONE_REQUEST = ("validation", "not_found", "rate_limited", "oom", "timeout", "internal")
CLIENTS = 24
SECONDS = 120.0  # that the last answers of a dying server may take
SETTLES = 5.0  # seconds from a request's arrival to its place in the engine's queue, on a busy machine
FAULTY_ENGINE = Path(__file__).parents[1] / "e2e/harness/faulty_engine"
LIMITED = "sk-limited"  # whom the throttle refuses
SHORT = {"model": "tiny", "prompt": "hello", "max_tokens": 2, "ignore_eos": True}
LONG = {**SHORT, "max_tokens": 900}
ENDPOINTS = ("/v1/completions", "/v1/chat/completions", "/v1/embeddings")

Ask = Callable[[Client, str], Awaitable[str]]


def seen(answer: Answer) -> str:
    """What a client calls an answer, by its status and its text."""
    by_status = {400: "validation", 404: "not_found", 429: "rate_limited", 503: "overload"}
    by_text = {b"out of memory": "oom", b"EngineCore": "engine_dead", b"timed out": "timeout"}
    if not answer.status:
        return "no answer"
    if answer.status in by_status:
        return by_status[answer.status]
    failed = answer.status != 200 or not answer.whole or b'"error"' in answer.body
    told = next((kind for words, kind in by_text.items() if words in answer.body), None) if failed else None
    if answer.status == 200 and told != "oom":
        return "in_stream" if failed else "success"
    return told or "internal"


async def tally(port: int, kinds: Iterable[str], ask: Ask, clients: int = CLIENTS) -> Counter[str]:
    """What so many clients saw, each over a connection that it keeps, in random order."""
    left, found = list(kinds), Counter[str]()
    random.Random(11).shuffle(left)

    async def work() -> None:
        client = Client(port)
        while left:
            found[await ask(client, left.pop())] += 1
        client.leave()

    await asyncio.gather(*(work() for _ in range(clients)))
    return found


def counted(scene_value: Callable[..., float]) -> dict[str, float]:
    """What the exporter says."""
    found = {kind: scene_value("vllm_request_errors_total", type=kind) for kind in TYPES}
    return {**found, "success": scene_value("vllm_requests_total", status="success")}


def test_an_application_that_ends_as_vllm_does(tmp_path: Path, held: Callable[[str], None]) -> None:
    dice = random.Random(7)

    async def ask(client: Client, kind: str) -> str:
        path, body = dice.choice(ENDPOINTS), b'{"model":"tiny"}'
        if kind == "client_abort":
            await client.send(request(path, body, {"behave": "endless"}))
            await client.read(dice.randrange(1, 2000))
            client.leave(dice.random() < 0.5)
            return kind
        how = kind if kind in (*REFUSALS, "in_stream") else dice.choice(("plain", "stream"))
        return seen(await client.ask(path, body, {"behave": how}))

    kinds = [*TYPES * EACH, *["success"] * (REQUESTS - len(TYPES) * EACH)]
    with (
        served(tmp_path) as server,
        exporter(tmp_path, server.port, {"VLLM_MONITOR_DIR": str(server.folder)}) as watching,
    ):
        found = asyncio.run(tally(server.port, kinds, ask))
        page = f"http://127.0.0.1:{watching.port}/metrics"
        assert found == {**dict.fromkeys(TYPES, EACH), "success": REQUESTS // 2}
        wait_for(lambda: counted(lambda *a, **k: value(page, *a, **k)) == found, "the same counts")
    held(f"uvicorn: {REQUESTS} requests, {EACH} of each of ten errors, counted exactly")


def value(page: str, name: str, **labels: str) -> float:
    lines = httpio.get_text(page).splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith(f"{name}{{") and all(f'{key}="{text}"' in line for key, text in labels.items())
    )


@pytest.mark.timeout(900)  # five and a half minutes were seen at a load average of 25
def test_a_real_vllm(tmp_path: Path, held: Callable[[str], None]) -> None:
    script = find_script()
    if script is None:
        pytest.skip(NO_SCRIPT)
    with running(script, tmp_path, {}, ("--max-num-queued-reqs", str(TAKES)), (FAULTY_ENGINE,)) as scene:
        limited = f"key-{hashlib.sha256(LIMITED.encode()).hexdigest()[:8]}"
        assert scene.command("throttle", "on", "--concurrency", "0", "--tenant", limited).returncode == 0
        wait_for(lambda: scene.value("vllm_throttle_processes") == 1)
        found = asyncio.run(all_of_it(scene))
        assert found == {**dict.fromkeys(TYPES, EACH), "success": REQUESTS // 2}
        wait_for(lambda: counted(scene.value) == found, "the same counts", lambda: counted(scene.value))
    held(f"real vLLM: {REQUESTS} requests, {EACH} of each of ten errors, counted exactly")


async def all_of_it(scene: Scene) -> Counter[str]:
    """What the clients of a real vLLM saw until its engine was killed."""
    dice = random.Random(7)

    async def ask(client: Client, kind: str) -> str:
        path, body, headers = asked(kind, dice)
        answer = await client.ask(path, json.dumps(body).encode(), headers)
        if answer.status >= 500:  # uvicorn closes the connection after an exception, and does not say so
            client.leave()
        return seen(answer)

    others = REQUESTS // 2 - EACH  # while it is full there are EACH more
    found = await tally(scene.server.port, [*BY_ONE_REQUEST * EACH, *["success"] * others], ask)
    return found + await while_it_is_full(scene, ask) + await while_the_engine_dies(scene)


def asked(kind: str, dice: random.Random) -> tuple[str, dict[str, Any], Mapping[str, str]]:
    """A completion or a chat, plain or streamed, that will end so."""
    body: dict[str, Any] = {**SHORT, "stream": kind == "success" and dice.random() < 0.5}
    path = "/v1/completions"
    if dice.random() < 0.5:
        path = "/v1/chat/completions"
        body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
    if kind == "validation":
        body["max_tokens"] = -1
    if kind == "not_found":
        body["model"] = "absent"
    headers = {"X-Request-Id": f"fault-{kind}-{dice.randrange(10**9)}"}
    return path, body, {**headers, "Authorization": f"Bearer {LIMITED}"} if kind == "rate_limited" else headers


async def while_it_is_full(scene: Scene, ask: Ask) -> Counter[str]:
    """As many requests as it takes, and EACH that are refused; half of the first give up, the others are answered."""
    async with engine_that_stands_still(scene):
        streams = await on_their_way(scene, {**LONG, "stream": True})
        plain = await on_their_way(scene, SHORT, EACH)
        found = await tally(scene.server.port, ["overload"] * EACH, ask)
        for stream in streams:
            stream.cancel()
        await asyncio.wait(streams)
    found += Counter(await asyncio.wait_for(asyncio.gather(*plain), SECONDS))
    await asyncio.to_thread(wait_for, lambda: scene.value("vllm_requests_in_flight") == 0, "all to be over")
    return found + Counter({"client_abort": sum(stream.cancelled() for stream in streams)})


async def while_the_engine_dies(scene: Scene) -> Counter[str]:
    """Those that have no answer yet, and those whose answer has begun, when it is killed."""
    engine = scene.engine()
    async with engine_that_stands_still(scene):
        streams = await on_their_way(scene, {**LONG, "stream": True})
        plain = await on_their_way(scene, LONG, EACH)
        os.kill(engine, signal.SIGKILL)
    return Counter(await asyncio.wait_for(asyncio.gather(*streams, *plain), SECONDS))


@contextlib.asynccontextmanager
async def engine_that_stands_still(scene: Scene) -> AsyncIterator[None]:
    """Nothing is answered meanwhile, but what the API server answers itself."""
    engine = scene.engine()
    os.kill(engine, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(engine, signal.SIGCONT)


async def on_their_way(scene: Scene, asked: Mapping[str, Any], before: int = 0) -> list[asyncio.Task[str]]:
    """EACH requests, once the server has them beside those from before."""

    async def one(number: int) -> str:
        client = Client(scene.server.port)
        try:
            return seen(await client.ask("/v1/completions", json.dumps({**asked, "prompt": f"{number}"}).encode(), {}))
        finally:
            client.leave()

    def there() -> float:
        return scene.value("vllm_requests_in_flight")

    tasks = [asyncio.create_task(one(number)) for number in range(EACH)]
    await asyncio.to_thread(wait_for, lambda: there() == before + EACH, "all to be on their way", there)
    await asyncio.sleep(SETTLES)
    return tasks

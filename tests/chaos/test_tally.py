"""Five thousand requests with all ten errors: what clients saw is, type by type, what the exporter says.

They are asked of an application that ends as vLLM does, in uvicorn.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from tests.e2e.harness import httpio
from tests.exporter.bench.programs import exporter
from tests.monitor.as_vllm import REFUSALS
from tests.monitor.clients import Answer, Client, request
from tests.monitor.served import served
from tests.patience import wait_for

TYPES = (
    "validation", "not_found", "rate_limited", "overload", "timeout", "client_abort", "in_stream", "engine_dead", "oom",
    "internal",
)  # fmt: skip
REQUESTS = 5000
EACH = REQUESTS // 20
CLIENTS = 24
ENDPOINTS = ("/v1/completions", "/v1/chat/completions", "/v1/embeddings")

Ask = Callable[[Client, str], Awaitable[str]]


def seen(answer: Answer) -> str:
    """What a client calls an answer, by its status and its text."""
    by_status = {400: "validation", 404: "not_found", 429: "rate_limited", 503: "overload"}
    by_text = {b"out of memory": "oom", b"EngineCore": "engine_dead", b"timed out": "timeout"}
    if answer.status in by_status:
        return by_status[answer.status]
    failed = answer.status != 200 or not answer.whole or b'"error"' in answer.body
    told = next((kind for words, kind in by_text.items() if words in answer.body), None) if failed else None
    if answer.status == 200:
        return told or ("in_stream" if failed else "success")
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

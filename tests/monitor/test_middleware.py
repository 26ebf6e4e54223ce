"""Requests through the middleware, by the messages of ASGI: each ends once, and no byte is changed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from tests.monitor.test_outcomes import DEAD
from tests.monitor.test_stats import counts
from vllm_monitor import Middleware, middleware, process
from vllm_monitor.outcomes import ErrorType

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
ASKED = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Scene:
    """A middleware in a process whose thread is not started: the test counts when it wants to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.setenv("VLLM_MONITOR_DIR", str(folder))
        monkeypatch.setattr(process, "_this", None)
        monkeypatch.setattr("vllm_monitor.background.Background.start", lambda background: None)
        self.now = 100.0
        self.middleware: Middleware | None = None
        self.folder = folder
        monkeypatch.setattr(middleware, "monotonic", lambda: self.now)

    def ask(self, application: Application, messages: list[Any] | None = None, **scope: Any) -> list[Any]:
        """The messages that the client's server got. `messages`: what `receive` gives, else the body only."""
        sent: list[Any] = []
        given = iter(messages or [{"type": "http.request", "body": b"{}", "more_body": False}])

        async def receive() -> Any:
            return next(given)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.made(application)({**ASKED, **scope}, receive, send))
        return sent

    def made(self, application: Application) -> Middleware:
        self.middleware = self.middleware or Middleware(application)  # one a process, as in vLLM
        self.middleware._app = application
        return self.middleware

    def lines(self) -> list[dict[str, Any]]:
        """What the exporter is told of failed requests and exceptions."""
        self.counts()
        return [json.loads(line) for file in self.folder.glob("*.lines") for line in file.read_text().splitlines()]

    def counts(self) -> dict[str, list[float]]:
        here = process._this
        assert here is not None
        here.background.round()
        return counts(here.background.series)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    return Scene(monkeypatch, tmp_path)


def stream(*parts: bytes) -> Application:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return application


def answer(status: int, body: bytes = b"{}") -> Application:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return application


def test_what_is_sent_is_what_the_application_sent(scene: Scene) -> None:
    parts = [b"data: {}\n\n", b"", b"\xff" * 70_000, b"data: [DONE]\n\n"]
    sent = scene.ask(stream(*parts))
    assert sent[0] is START
    assert [message["body"] for message in sent[1:]] == [*parts, b""]


def test_a_stream_counts_to_its_end_and_to_its_first_part(scene: Scene) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        scene.now += 0.5
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        scene.now += 2.0
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    scene.ask(application)
    found = scene.counts()
    assert found["vllm_requests_total status=success"] == [1]
    assert found["vllm_time_to_first_token_seconds"][-1] == 0.5
    assert found["vllm_request_latency_seconds"][-1] == 2.5


def test_an_answer_in_one_piece_has_no_first_token(scene: Scene) -> None:
    scene.ask(answer(200))
    found = scene.counts()
    assert found["vllm_requests_total status=success"] == [1]
    assert "vllm_time_to_first_token_seconds" not in found


@pytest.mark.parametrize(
    ("application", "type"),
    [
        (answer(400), "validation"),
        (answer(503), "overload"),
        (answer(500, DEAD), "engine_dead"),
        (stream(b"data: {}\n\n", b'data: {"error": {"message": "no"}}\n\n'), "in_stream"),
        (stream(b"data: " + DEAD), "in_stream"),
    ],
)
def test_a_failure_counts_by_its_type(scene: Scene, application: Application, type: str) -> None:
    scene.ask(application)
    found = scene.counts()
    assert found["vllm_requests_total status=error"] == [1]
    assert found[f"vllm_request_errors_total type={type}"] == [1]


def test_a_client_that_goes_away_is_an_abort(scene: Scene) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        assert (await receive())["type"] == "http.disconnect"

    scene.ask(application, [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}])
    found = scene.counts()
    assert found["vllm_requests_total status=aborted"] == [1]
    assert found["vllm_request_errors_total type=client_abort"] == [1]


def test_a_disconnect_after_the_end_is_no_abort(scene: Scene) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(200)(scope, receive, send)
        await receive()

    scene.ask(application, [{"type": "http.disconnect"}])
    assert scene.counts()["vllm_requests_total status=success"] == [1]


def test_an_exception_goes_on_to_whoever_runs_the_application(scene: Scene) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        scene.ask(application)
    assert scene.counts()["vllm_request_errors_total type=internal"] == [1]


def test_other_kinds_of_connection_are_passed_on(scene: Scene) -> None:
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        scene.ask(application, type=kind)
    assert seen == ["lifespan", "websocket"]
    assert not any(name.startswith("vllm_requests_total") for name in scene.counts())


def test_a_request_counts_for_its_tenant_and_its_model(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_MONITOR_TENANT_HEADER", "X-Tenant")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await answer(scope["status"])(scope, receive, send)

    parts = [(b'{"mod', True), (b'el": "tiny"}', False)]
    body = [{"type": "http.request", "body": part, "more_body": more} for part, more in parts]
    for status, tenant in ((200, b"acme"), (429, b"acme"), (429, b"stranger")):
        scene.ask(application, body, headers=[(b"x-tenant", tenant)], status=status)
    found = scene.counts()
    assert found["vllm_tenant_requests_total tenant=acme status=success"] == [1]
    assert found["vllm_tenant_requests_total tenant=acme status=error"] == [1]
    assert found["vllm_tenant_requests_total tenant=other status=error"] == [1]
    assert found["vllm_tenant_latency_seconds tenant=acme"][:-1] == [1] + [0] * 7  # the one that was answered
    assert "vllm_tenant_latency_seconds tenant=other" not in found
    assert found["vllm_model_requests_total model_name=tiny status=success"] == [1]
    assert found["vllm_model_requests_total model_name=tiny status=error"] == [2]


def test_the_application_receives_what_the_client_sent(scene: Scene) -> None:
    messages = [{"type": "http.request", "body": b"x" * 40_000, "more_body": n < 3} for n in range(4)]
    received: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for _ in messages:
            received.append(await receive())
        await answer(200)(scope, receive, send)

    scene.ask(application, messages)
    assert all(got is sent for got, sent in zip(received, messages, strict=True))


def test_nothing_is_received_before_the_application_asks(scene: Scene) -> None:
    """Else a client that sends faster than vLLM reads would fill this process."""
    asked: list[int] = []

    async def receive() -> Any:
        asked.append(1)
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert asked == []
        await receive()
        assert asked == [1]
        await answer(400)(scope, receive, send)

    async def send(message: Any) -> None:
        pass

    asyncio.run(scene.made(application)(ASKED, receive, send))
    assert asked == [1]


def test_requests_on_their_way_are_shown_with_the_oldest(scene: Scene) -> None:
    during: list[dict[str, list[float]]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        during.append(scene.counts())
        await send(START)
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        during.append(scene.counts())
        await send({"type": "http.response.body", "body": b""})

    scene.ask(application)
    waiting, answering = during
    assert waiting["vllm_requests_in_flight phase=waiting"] == [1]
    assert waiting["vllm_request_oldest_seconds phase=waiting"][0] > 0
    assert answering["vllm_requests_in_flight phase=waiting"] == [0]
    assert answering["vllm_requests_in_flight phase=answering"] == [1]
    assert scene.counts()["vllm_requests_in_flight phase=answering"] == [0]


def test_without_the_directory_nothing_is_counted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VLLM_MONITOR_DIR", str(tmp_path / "absent"))
    assert len(scene.ask(stream(b"data: {}\n\n"))) == 3
    assert process._this is None


async def gives_up(scope: Any, receive: Any, send: Any) -> None:
    """A request whose client goes away while its answer is made."""
    await receive()
    await send(START)
    assert (await receive())["type"] == "http.disconnect"


EACH = 50  # of 1,000 requests: 5 %
FAILURES: dict[str, Application] = {
    "validation": answer(400),
    "not_found": answer(404),
    "rate_limited": answer(429),
    "overload": answer(503, b"full"),
    "timeout": answer(504),
    "client_abort": gives_up,
    "in_stream": stream(b'data: {"error": {}}\n\n'),
    "engine_dead": answer(500, DEAD),
    "oom": answer(500, b"CUDA out of memory"),
    "internal": answer(500, b"?"),
}


def test_counts_of_a_thousand_requests_agree_with_the_clients_tally(scene: Scene) -> None:
    assert set(FAILURES) == set(get_args(ErrorType))
    good = [stream(b"data: {}\n\n"), answer(200)] * (5 * EACH)
    asked = [*good, *(application for application in FAILURES.values() for _ in range(EACH))]
    random.Random(11).shuffle(asked)
    for application in asked:
        scene.ask(application, [{"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"}])
    found = scene.counts()
    assert len(asked) == 1000
    assert found["vllm_requests_total status=success"] == [500]
    assert found["vllm_requests_total status=aborted"] == [EACH]
    assert found["vllm_requests_total status=error"] == [9 * EACH]
    assert [found[f"vllm_request_errors_total type={name}"] for name in FAILURES] == [[EACH]] * len(FAILURES)


class Engine:
    """The parts of vLLM's application that know a request's id and, while the engine works on it, its tokens."""

    def __init__(self, name: str) -> None:
        known = SimpleNamespace(prompt_len=100, stats=SimpleNamespace(num_generation_tokens=7))
        self.processor = SimpleNamespace(request_states={"inner": known}, external_req_ids={name: ["inner"]})
        client = SimpleNamespace(output_processor=self.processor)
        self.scope: dict[str, Any] = {
            "app": SimpleNamespace(state=SimpleNamespace(engine_client=client)),
            "state": {"request_metadata": SimpleNamespace(request_id=name)},
        }


def test_a_failed_request_is_one_line_and_a_good_one_none(scene: Scene) -> None:
    scene.ask(answer(200))
    scene.ask(answer(503, b"full"), headers=[(b"authorization", b"Bearer sk-secret"), (b"x-request-id", b"mine")])
    (line,) = scene.lines()
    assert line.pop("time") > 1_700_000_000
    assert line == {
        "kind": "failed_request", "id": "mine", "type": "overload", "status": 503, "endpoint": "/v1/completions",
        "duration_seconds": 0.0, "tenant": "other", "model_name": "unknown",
    }  # fmt: skip


def test_a_client_that_goes_away_leaves_the_tokens_that_the_engine_had_made(scene: Scene) -> None:
    engine = Engine("chatcmpl-1")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        await receive()
        engine.processor.request_states.clear()  # vLLM aborts it

    left = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
    scene.ask(application, left, path="/v1/chat/completions", **engine.scope)
    (line,) = scene.lines()
    assert (line["id"], line["type"], line["prompt_tokens"], line["output_tokens"]) == (
        "chatcmpl-1", "client_abort", 100, 7,
    )  # fmt: skip


def test_a_request_that_fails_after_the_engine_finished_it_has_all_its_tokens(scene: Scene) -> None:
    engine = Engine("chatcmpl-1")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        here = process._this
        assert here is not None
        here.tokens.saw(SimpleNamespace(request_id="chatcmpl-1", num_prompt_tokens=100, num_generation_tokens=30))
        engine.processor.request_states.clear()
        raise RuntimeError("while the answer was put together")

    with pytest.raises(RuntimeError):
        scene.ask(application, **engine.scope)
    by_kind = {line["kind"]: line for line in scene.lines()}
    assert by_kind["failed_request"]["output_tokens"] == 30
    assert by_kind["exception"]["exception"] == "RuntimeError"
    assert scene.counts()["vllm_exceptions_total origin=handler exception=RuntimeError"] == [1]


def test_nothing_of_a_request_is_kept_after_its_end(scene: Scene) -> None:
    scene.ask(answer(503, b"full"), headers=[(b"authorization", b"Bearer sk-secret")])
    here = process._this
    assert here is not None
    (exchange,) = next(one for one in here.background._sources if hasattr(one, "_ended"))._ended
    assert exchange.scope == {}
    scene.lines()
    assert not any(b"secret" in file.read_bytes() for file in scene.folder.iterdir())

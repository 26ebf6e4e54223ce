"""What a request meets before the application, through the whole middleware."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.monitor.test_middleware import ASKED, Scene, answer, scene, stream
from vllm_monitor import process
from vllm_monitor.limits import Limit
from vllm_monitor.order_file import write_order
from vllm_monitor.outcomes import CANARY

__all__ = ["scene"]
TOKEN = "0123456789abcdef"
SHOWN = (b"x-vllm-monitor-token", TOKEN.encode())
CONTROL = "/vllm-monitor/throttle"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    monkeypatch.setenv("VLLM_MONITOR_TOKEN_FILE", str(file))
    return file


def throttle(scene: Scene, *limits: Limit, status: int = 429) -> None:
    here = process._this
    if here is None:
        scene.ask(answer(200))  # makes it
        here = process._this
    assert here is not None
    write_order(here.background.folder, limits, 60.0, status)
    here.background.round()


def status(scene: Scene, path: str, *headers: tuple[bytes, bytes], **scope: Any) -> int:
    """The status of a request to an application that answers everything with 200."""
    sent = scene.ask(answer(200), path=path, headers=list(headers), **scope)
    return int(sent[0]["status"])


def test_a_refusal_is_what_openais_clients_understand(scene: Scene) -> None:
    throttle(scene, Limit(concurrency=0))
    start, body = scene.ask(answer(200))
    assert start["status"] == 429
    headers = dict(start["headers"])
    assert headers[b"retry-after"] == b"1"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    assert json.loads(body["body"]) == {
        "error": {
            "message": "This server sheds load: it takes 0 requests at once. Try again in 1 s.",
            "type": "rate_limit_exceeded",
            "param": None,
            "code": 429,
        }
    }
    found = scene.counts()
    assert found["vllm_throttle_refusals_total reason=concurrency"] == [1]
    assert found["vllm_request_errors_total type=rate_limited"] == [1]
    assert found["vllm_requests_in_flight phase=waiting"] == [0]


def test_with_503_a_refusal_is_overload(scene: Scene) -> None:
    throttle(scene, Limit(concurrency=0, tenant="none"), status=503)
    start, body = scene.ask(answer(200))
    assert start["status"] == 503
    assert "of tenant none" in json.loads(body["body"])["error"]["message"]
    assert scene.counts()["vllm_request_errors_total type=overload"] == [1]


def test_when_it_is_taken_back_everybody_is_served(scene: Scene) -> None:
    throttle(scene, Limit(concurrency=0))
    assert status(scene, "/v1/completions") == 429
    throttle(scene)
    assert status(scene, "/v1/completions") == 200


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models", "/is_paused", "/tokenize"])
def test_health_and_probes_are_never_shed(scene: Scene, path: str) -> None:
    throttle(scene, Limit(concurrency=0))
    assert status(scene, path, method="GET") == 200


def test_canaries_are_never_shed_and_who_copies_their_header_gains_little(scene: Scene) -> None:
    throttle(scene, Limit(concurrency=0))
    assert status(scene, "/v1/completions", CANARY) == 200
    assert [status(scene, "/v1/completions", CANARY) for _ in range(50)].count(200) <= 5


def test_a_limit_by_model_looks_into_the_body_and_gives_all_of_it_on(scene: Scene) -> None:
    received: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            received.append(await receive())
            if not received[-1]["more_body"]:
                break
        await answer(200)(scope, receive, send)

    throttle(scene, Limit(concurrency=0, model="big"))
    for model, expected in ((b"big", 429), (b"small", 200)):
        parts = [b'{"prompt":"' + b"x" * 50_000 + b'",', b'"mod', b'el":"' + model + b'"}']
        messages = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts]
        received.clear()
        assert scene.ask(application, messages)[0]["status"] == expected
        assert received == (messages if expected == 200 else [])
    assert scene.counts()["vllm_model_requests_total model_name=small status=success"] == [1]


def test_no_more_is_read_ahead_than_is_looked_at(scene: Scene) -> None:
    async def receive() -> Any:
        asked.append(1)
        return {"type": "http.request", "body": b"x" * 32_768, "more_body": True}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert len(asked) == 2
        await answer(400)(scope, receive, send)

    async def send(message: Any) -> None:
        pass

    throttle(scene, Limit(concurrency=5, model="big"))
    asked: list[int] = []
    asyncio.run(scene.made(application)(ASKED, receive, send))
    assert len(asked) == 2


def test_a_client_that_goes_away_before_its_body_is_there_is_an_abort(scene: Scene) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"

    throttle(scene, Limit(concurrency=5, priority_from=0))
    scene.ask(application, [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    found = scene.counts()
    assert found["vllm_request_errors_total type=client_abort"] == [1]


def test_a_stream_holds_its_place_until_its_end_and_its_tokens_count(scene: Scene) -> None:
    inner: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(500):
            await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        await made({**ASKED}, receive, keep)
        inner.append(sent[0]["status"])
        await send({"type": "http.response.body", "body": b""})

    throttle(scene, Limit(concurrency=1), Limit(tokens_per_second=100.0))
    made = scene.made(application)
    scene.ask(application)
    assert inner == [429]
    assert scene.counts()["vllm_throttle_refusals_total reason=concurrency"] == [1]
    assert status(scene, "/v1/completions") == 429  # 500 tokens at 100 a second
    assert scene.counts()["vllm_throttle_refusals_total reason=tokens"] == [1]


def test_tokens_are_those_that_the_engine_says_where_it_says_them(scene: Scene) -> None:
    throttle(scene, Limit(tokens_per_second=100.0))
    here = process._this
    assert here is not None
    here.tokens.saw(SimpleNamespace(request_id="mine", num_prompt_tokens=7, num_generation_tokens=900))
    named = (b"x-request-id", b"mine")
    assert scene.ask(stream(b"data: {}\n\n"), headers=[named])[0]["status"] == 200  # one part
    found = scene.counts()
    assert found["vllm_tenant_tokens_total tenant=none kind=prompt"] == [7]
    assert found["vllm_tenant_tokens_total tenant=none kind=output"] == [900]
    start, body = scene.ask(answer(200))
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (429, b"8")  # one second of it may be owed
    assert b"it takes 100 tokens a second" in body["body"]


@pytest.mark.parametrize("path", ["/sleep", "//sleep/", "/sleep\n", "/v1/load_lora_adapter", "/adapters/x"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "OPTIONS"])
def test_management_answers_404_without_the_token(scene: Scene, token: Path, path: str, method: str) -> None:
    assert status(scene, path, method=method) == 404
    assert status(scene, path, (b"x-vllm-monitor-token", b"wrong-wrong"), method=method) == 404
    assert status(scene, path, (b"authorization", b"Bearer " + TOKEN.encode()), method=method) == 404
    assert status(scene, path, SHOWN, method=method) == 200
    assert scene.counts()["vllm_management_refusals_total"] == [3]


@pytest.mark.parametrize("path", ["/is_paused", "/is_sleeping", "/health", "/v1/models"])
def test_what_only_asks_stays_open(scene: Scene, token: Path, path: str) -> None:
    assert status(scene, path, method="GET") == 200


def test_the_guard_needs_no_directory(scene: Scene, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_MONITOR_DIR", "/absent")
    assert status(scene, "/sleep") == 404
    assert status(scene, "/v1/completions") == 200


def test_a_token_file_that_others_read_closes_management_to_everybody_and_serves_users(
    scene: Scene, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token.chmod(0o644)
    with caplog.at_level(logging.ERROR):
        assert status(scene, "/sleep", SHOWN) == 404
        assert status(scene, "/v1/completions") == 200
        assert scene.counts()["vllm_management_token_unusable"] == [1]
        scene.counts()
    assert len(caplog.records) == 1
    assert "chmod 600" in caplog.records[0].message
    assert TOKEN not in caplog.text
    token.chmod(0o600)
    assert status(scene, "/sleep", SHOWN) == 200
    assert scene.counts()["vllm_management_token_unusable"] == [0]


def test_without_a_token_file_management_is_passed_on_and_said_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert status(scene, "/v1/completions") == 200
        assert not caplog.records
        for _ in range(3):
            assert status(scene, "/sleep") == 200
    assert len(caplog.records) == 1
    assert "VLLM_MONITOR_TOKEN_FILE" in caplog.records[0].message


def control(scene: Scene, method: str, body: object = None, *headers: tuple[bytes, bytes]) -> tuple[int, Any]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    messages = [{"type": "http.request", "body": text, "more_body": False}]
    sent = scene.ask(answer(404), messages, method=method, path=CONTROL, headers=list(headers or [SHOWN]))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_the_throttle_is_set_and_taken_back_over_http(scene: Scene, token: Path) -> None:
    wish = {"seconds": 60, "status": 503, "limits": [{"concurrency": 0}]}
    code, about = control(scene, "PUT", wish)
    assert code == 200
    assert about["limits"] == [{"concurrency": 0}]
    assert 59 < about["seconds"] <= 60
    scene.counts()
    assert status(scene, "/v1/completions") == 503
    code, now = control(scene, "GET")
    assert (code, now["in_force"], now["processes"]) == (200, about["generation"], 1)
    assert control(scene, "DELETE")[1]["limits"] == []
    scene.counts()
    assert status(scene, "/v1/completions") == 200


@pytest.mark.parametrize(
    "wish",
    [
        b"",
        b"[]",
        b"\xff",
        b"{" * 100,
        {"limits": [{"concurrency": 1}]},
        {"seconds": 0, "limits": []},
        {"seconds": 1e9, "limits": []},
        {"seconds": True, "limits": []},
        {"seconds": 60, "limits": [{"concurrency": "many"}]},
        {"seconds": 60, "limits": [], "status": 200},
        {"seconds": 60, "limits": [], "generation": 1},
        b" " * 70_000,
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_changes_nothing(scene: Scene, token: Path, wish: Any) -> None:
    code, about = control(scene, "PUT", wish)
    assert code == 400
    assert about["detail"]
    assert control(scene, "GET")[1]["generation"] == 0


def test_the_control_is_not_there_without_the_token(scene: Scene, token: Path) -> None:
    assert control(scene, "PUT", {"seconds": 60, "limits": []}, (b"host", b"x"))[0] == 404
    assert control(scene, "POST")[0] == 405


def test_the_control_is_vllms_404_without_a_token_file(scene: Scene) -> None:
    assert scene.ask(answer(404, b"own"), path=CONTROL, method="PUT", headers=[SHOWN])[1]["body"] == b"own"


def test_with_a_root_path_users_are_counted_and_throttled_as_without(scene: Scene, token: Path) -> None:
    throttle(scene, Limit(concurrency=0))
    for path in ("/llm/v1/completions", "/v1/completions"):
        assert status(scene, path, root_path="/llm") == 429
    assert status(scene, f"/llm{CONTROL}", SHOWN, root_path="/llm", method="GET") == 200
    assert status(scene, "/llm/sleep", root_path="/llm") == 404


def test_bytes_of_an_answer_pass_unchanged_under_a_throttle(scene: Scene) -> None:
    throttle(scene, Limit(concurrency=9), Limit(requests_per_second=1000.0, model="m"))
    parts = [b"data: {}\n\n", b"", b"\xff" * 70_000]
    sent = scene.ask(stream(*parts))
    assert [message["body"] for message in sent[1:]] == [*parts, b""]

"""What vLLM's answers mean, and the canary as the server gets it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.exporter.answering import Answering
from vllm_exporter.errors import SourceError
from vllm_exporter.net.http import ClientResponse, Origin
from vllm_exporter.subjects.server.api import (
    DeepAnswer,
    DeepProbe,
    HttpVllmApi,
    PauseAnswer,
    ServerInfo,
    choose_health,
    parse_deep,
    parse_pause,
)
from vllm_exporter.subjects.server.canaries import NO_TOKENS
from vllm_exporter.subjects.server.canary_request import choose_canary, parse_models, parse_usage

MODELS = b'{"object": "list", "data": [{"id": "tiny"}, {"id": "lora"}]}'
COMPLETION = b'{"choices": [{"text": "x"}]}'
STREAM = (
    b'data: {"id":"cmpl-1","choices":[{"index":0,"text":"x","finish_reason":"length"}],"usage":null}\n\n'
    b'data: {"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":12,"total_tokens":13,"completion_tokens":1}}\n\n'
    b"data: [DONE]\n\n"
)


class Handler(BaseHTTPRequestHandler):
    """Answers by path; keeps what it was asked."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}
    asked: ClassVar[list[tuple[str, str, bytes]]] = []  # path, User-Agent, body
    tokens: ClassVar[list[tuple[str, str]]] = []  # path, token of the part inside
    release: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.path, self.headers.get("User-Agent", ""), body))
        self.tokens.append((self.path, self.headers.get("X-Vllm-Monitor-Token", "")))
        if self.path not in self.answers:
            self.release.wait(2)
            return
        status, text = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def origin() -> Iterator[Origin]:
    """A server that answers what is in Handler.answers, and nothing to the rest."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.answers = {"/v1/models": (200, MODELS), "/v1/completions": (200, COMPLETION)}
    Handler.asked.clear()
    Handler.tokens.clear()
    Handler.release.clear()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield Origin("127.0.0.1", server.server_port)
    Handler.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(origin: Origin) -> HttpVllmApi:
    return HttpVllmApi(origin, health_timeout=1.0, canary_timeout=1.0)


@pytest.fixture
def impatient(origin: Origin) -> HttpVllmApi:
    """For answers that never come."""
    return HttpVllmApi(origin, health_timeout=0.3, canary_timeout=0.3)


def test_a_canary_asks_for_one_token_of_a_prompt_never_sent_before(api: HttpVllmApi) -> None:
    assert (api.canary()[0], api.canary()[0]) == ("ok", "ok")
    (models, agent, _), (path, _, first), (_, _, second) = Handler.asked
    assert (models, path, agent) == ("/v1/models", "/v1/completions", "vllm-monitor-canary")
    one, two = json.loads(first), json.loads(second)
    assert (one["model"], one["max_tokens"], one["temperature"], one["stream"]) == ("tiny", 1, 0, True)
    assert one["stream_options"] == {"include_usage": True}
    assert one["prompt"] != two["prompt"]


def test_a_canary_without_an_answer_times_out(impatient: HttpVllmApi) -> None:
    del Handler.answers["/v1/completions"]
    assert impatient.canary() == ("timeout", NO_TOKENS)


def test_a_streamed_canary_knows_its_first_token_and_its_cost(api: HttpVllmApi) -> None:
    Handler.answers["/v1/completions"] = (200, STREAM)
    result, tokens = api.canary()
    assert (result, tokens.prompt, tokens.generation) == ("ok", 12, 1)
    assert tokens.first_token is not None
    assert 0 < tokens.first_token < 1.0


@pytest.mark.parametrize("body", [b"", b"data: [DONE]\n", b'data: {"usage": null}\n', b'{"usage": 3}', b'"usage" {'])
def test_without_a_count_of_tokens_none_is_made_up(body: bytes) -> None:
    assert parse_usage(body) == {}


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, COMPLETION, "ok"),
        (200, STREAM, "ok"),
        (200, b'{\n "choices": []}', "ok"),
        (200, b'{"error": "EngineCore died"}', "error"),
        (200, b'data: {"error": {"message": "EngineCore died"}}\n\ndata: [DONE]\n\n', "error"),
        (400, b"this model does not generate", "not_applicable"),
        (401, b"", "not_applicable"),
        (404, b"", "not_applicable"),
        (500, b"", "error"),
        (503, b"queue is full", "error"),
    ],
)
def test_the_answer_to_a_canary_is_judged_by_its_status(status: int, body: bytes, result: str) -> None:
    assert choose_canary(ClientResponse(status, body)) == result


def test_after_a_4xx_the_model_is_asked_for_again(api: HttpVllmApi) -> None:
    Handler.answers["/v1/completions"] = (404, b"no such model")
    assert (api.canary(), api.canary()) == (("not_applicable", NO_TOKENS), ("not_applicable", NO_TOKENS))
    assert [path for path, _, _ in Handler.asked].count("/v1/models") == 2


def test_a_server_that_keeps_its_models_secret_gets_no_canary(api: HttpVllmApi) -> None:
    Handler.answers["/v1/models"] = (401, b"")
    assert api.canary() == ("not_applicable", NO_TOKENS)
    Handler.answers["/v1/models"] = (500, b"")
    assert api.canary() == ("error", NO_TOKENS)


def test_a_server_that_is_gone_is_refused_and_raises_nothing_but_for_metrics() -> None:
    api = HttpVllmApi(Origin("127.0.0.1", 1), 0.2, 0.2)
    assert (api.health(), api.canary()[0], api.pause()) == ("refused", "error", PauseAnswer(None))
    assert (api.about(), api.deep("is_paused").answered) == (ServerInfo(), False)
    with pytest.raises(SourceError, match="connection refused"):
        api.engine()


@pytest.mark.parametrize(
    ("status", "body", "health"),
    [
        (200, b"", "ok"),
        (503, b"", "503"),
        (500, b"Internal Server Error", "503"),  # 0.4.2 and 0.5.0 (vllm-project/vllm#5060)
        (500, b"", "503"),  # 0.6 to 0.9
        (500, b"<html>nginx</html>", "other"),
        (404, b"", "other"),
        (302, b"", "other"),
    ],
)
def test_health_tells_an_engine_that_died_from_other_answers(status: int, body: bytes, health: str) -> None:
    assert choose_health(status, body) == health


def test_health_without_an_answer_is_a_time_out(impatient: HttpVllmApi) -> None:
    assert impatient.health() == "timeout"


def test_metrics_behind_a_login_are_an_error_that_names_the_status(api: HttpVllmApi) -> None:
    Handler.answers["/metrics"] = (401, b"")
    with pytest.raises(SourceError, match="status 401 instead of 200"):
        api.engine()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": []}', b'{"data": [{"id": 7}]}', b'{"data": [{"id": ""}]}'])
def test_an_answer_without_a_model_is_an_error(body: bytes) -> None:
    with pytest.raises(SourceError, match="no model in"):
        parse_models(ClientResponse(200, body))


def test_of_many_models_the_first_20_are_kept() -> None:
    body = json.dumps({"data": [{"id": f"lora-{number}"} for number in range(500)]}).encode()
    assert parse_models(ClientResponse(200, body)) == tuple(f"lora-{number}" for number in range(20))


def test_a_server_says_its_release_its_models_and_its_load(api: HttpVllmApi) -> None:
    Handler.answers["/version"] = (200, b'{"version": "0.32.0"}')
    Handler.answers["/load"] = (200, b'{"server_load": 3}')
    assert api.about() == ServerInfo("0.32.0", ("tiny", "lora"), 3.0)
    Handler.answers["/version"], Handler.answers["/load"] = (404, b""), (200, b"[]")
    assert api.about() == ServerInfo("", ("tiny", "lora"), None)


@pytest.mark.parametrize(
    ("probe", "status", "body", "answer"),
    [
        ("check_health", 200, b'{"results": [null]}', DeepAnswer(True, 0.1)),
        ("check_health", 500, b'{"error": {}}', DeepAnswer(False, 0.1)),
        ("check_health", 404, b"", DeepAnswer(False, 0.1, supported=False)),
        ("is_sleeping", 200, b'{"is_sleeping": true}', DeepAnswer(True, 0.1, yes=True)),
        ("is_paused", 200, b'{"is_sleeping": true}', DeepAnswer(False, 0.1)),
    ],
)
def test_a_deep_probe_is_answered_or_not_or_not_offered(
    probe: DeepProbe, status: int, body: bytes, answer: DeepAnswer
) -> None:
    assert parse_deep(ClientResponse(status, body), probe, 0.1) == answer


def test_the_deepest_probe_asks_the_workers(api: HttpVllmApi) -> None:
    Handler.answers["/collective_rpc"] = (200, b'{"results": [null]}')
    assert api.deep("check_health").answered
    path, _, body = Handler.asked[-1]
    assert (path, json.loads(body)["method"]) == ("/collective_rpc", "check_health")


def test_only_the_management_path_gets_the_token(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    guarded = HttpVllmApi(replace(origin, monitor_token_file=str(tmp_path / "token")), 1.0, 1.0)
    Handler.answers |= {"/collective_rpc": (200, b'{"results": [null]}'), "/is_paused": (200, b'{"is_paused": true}')}
    assert guarded.deep("check_health").answered
    assert guarded.deep("is_paused").answered
    guarded.canary()
    assert Handler.tokens == [
        ("/collective_rpc", "0123456789abcdef"),
        ("/is_paused", ""),
        ("/v1/models", ""),
        ("/v1/completions", ""),
    ]


def test_a_token_that_cannot_be_read_asks_nothing(origin: Origin) -> None:
    guarded = HttpVllmApi(replace(origin, monitor_token_file="/nowhere"), 1.0, 1.0)
    assert not guarded.deep("check_health").answered
    assert Handler.asked == []


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b'{"is_paused": true}', PauseAnswer(True)),
        (200, b'{"is_paused": false}', PauseAnswer(False)),
        (200, b'{"is_paused": "no"}', PauseAnswer(None)),
        (200, b"", PauseAnswer(None)),
        (500, b'{"error": "x"}', PauseAnswer(None)),
        (404, b"", PauseAnswer(None, supported=False)),
    ],
)
def test_a_pause_is_known_only_when_the_server_says_so(status: int, body: bytes, answer: PauseAnswer) -> None:
    assert parse_pause(ClientResponse(status, body)) == answer


HOSTILE = [b"[" * 900_000, b'{"a":' * 900_000, b'{"is_paused": ' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("body", HOSTILE, ids=["lists", "objects", "digits"])
def test_an_answer_that_python_refuses_to_read_is_no_answer(api: HttpVllmApi, body: bytes) -> None:
    for path in ("/is_paused", "/version", "/load", "/v1/models"):
        Handler.answers[path] = (200, body)
    assert api.pause() == PauseAnswer(None)
    assert api.about() == ServerInfo()
    assert api.canary() == ("error", NO_TOKENS)
    assert not api.deep("is_paused").answered
    assert parse_usage(b'"usage"' + body) == {}


@pytest.mark.parametrize("load", [b"NaN", b"-1", b"Infinity", b"1" + b"0" * 400, b'"3"', b"true"])
def test_a_load_that_cannot_be_is_not_known(api: HttpVllmApi, load: bytes) -> None:
    Handler.answers["/load"] = (200, b'{"server_load": %b}' % load)
    assert api.about().load is None


def test_names_are_shown_in_128_printable_characters_and_asked_for_as_they_are(api: HttpVllmApi) -> None:
    name = "m\x1b[31m" + "x" * 500
    Handler.answers["/v1/models"] = (200, json.dumps({"data": [{"id": name}]}).encode())
    Handler.answers["/version"] = (200, json.dumps({"version": "0.\u202e32\n" + "9" * 200}).encode())
    said = api.about()
    assert said.models == ("m\ufffd[31m" + "x" * 122,)
    assert said.version == "0.\ufffd32\ufffd" + "9" * 122
    assert api.canary()[0] == "ok"
    assert json.loads(Handler.asked[-1][2])["model"] == name


@pytest.mark.parametrize(
    ("head", "tokens"),
    [(b"Content-Length: 136\r\n", 5), (b"", None)],
    ids=["a length says that it is whole", "it ends with the connection"],
)
def test_a_last_line_without_an_end_counts_where_the_page_is_known_to_be_whole(
    head: bytes, tokens: float | None
) -> None:
    page = b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
    page += b"# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total 5"
    page = page.ljust(136)

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + page)

    server = Answering(answer)
    api = HttpVllmApi(Origin("127.0.0.1", server.port), 1.0, 1.0)
    reading = api.engine()
    api.close()
    server.close()
    assert reading is not None
    assert reading.values.prompt_tokens == tokens


def test_a_page_that_a_proxy_compresses_unasked_is_said_to_be_so() -> None:
    def compressed(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08")

    server = Answering(compressed)
    api = HttpVllmApi(Origin("127.0.0.1", server.port), 1.0, 1.0)
    with pytest.raises(SourceError, match=r"compressed \(gzip\) unasked"):
        api.engine()
    assert api.health() == "ok"
    api.close()
    server.close()

"""The healer's own look at a server."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.model import Health, Look, Target
from vllm_healer.net.client import HttpAnswer
from vllm_healer.probes import Probes, Timeouts, choose_model, judge

PATIENT = Timeouts()  # for servers that answer: a busy machine must not look like a hung one
METRICS = b"""\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} %d
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 7.0
vllm:engine_sleep_state{engine="0",model_name="m",sleep_state="awake"} %d
"""
RUNNING, ITERATIONS = 0, 3  # places in `work`


@pytest.fixture
def vllm(server: Any, http: ModuleType) -> Any:
    """A server that is well and in dev mode."""
    server.say("/health", http.Reply(200))
    server.say("/metrics", http.Reply(200, METRICS % (2, 1)), http.Reply(200, METRICS % (3, 1)))
    server.say_json("/is_paused", {"is_paused": False})
    server.say_json("/v1/models", {"object": "list", "data": [{"id": "tiny"}]})
    server.say_json("/v1/completions", {"choices": [{"text": "x"}]})
    return server


def look(server: Any, canary: float = 8.0, timeouts: Timeouts = PATIENT, api_key_file: str = "") -> Look:
    target = Target("gpu1:8000", server.url, "pool", "supervisord", api_key_file=api_key_file)
    return Probes(timeouts).look(target, canary)


def test_a_server_that_is_well(vllm: Any) -> None:
    seen = look(vllm)
    assert (seen.health, seen.paused) == (Health.OK, False)
    assert seen.canary is not None
    assert (seen.canary.ok, seen.canary.applicable, seen.canary.detail) == (True, True, "")
    assert seen.work_before is not None
    assert seen.work is not None
    assert (seen.work_before[RUNNING], seen.work[RUNNING], seen.work[ITERATIONS]) == (2.0, 3.0, 7.0)


def test_the_canary_asks_for_one_token_with_a_prompt_of_its_own(vllm: Any) -> None:
    look(vllm)
    look(vllm)
    bodies = [json.loads(request.body) for request in vllm.requests if request.path == "/v1/completions"]
    assert [(body["model"], body["max_tokens"]) for body in bodies] == [("tiny", 1), ("tiny", 1)]
    assert bodies[0]["prompt"] != bodies[1]["prompt"]


def test_without_a_canary_nothing_is_generated(vllm: Any) -> None:
    seen = look(vllm, canary=0)
    assert (seen.canary, seen.work_before) == (None, None)
    assert seen.work is not None
    assert vllm.paths() == ["/health", "/metrics", "/is_paused"]


@pytest.mark.parametrize("status", [404, 502, 504, 520, 521, 530])
def test_what_proxies_say_when_nobody_is_behind_them_is_not_vllms(vllm: Any, http: ModuleType, status: int) -> None:
    """basecamp/kamal#564, coollabsio/coolify#6490: Traefik says 404 while the container is down."""
    vllm.say("/health", http.Reply(status, b"404 page not found"))
    detail = f"HTTP {status}: '404 page not found'"
    assert look(vllm) == Look(Health.GATEWAY, None, None, None, detail=detail)


@pytest.mark.parametrize("status", [500, 401, 403, 429, 531])
def test_another_status_settles_it(vllm: Any, http: ModuleType, status: int) -> None:
    vllm.say("/health", http.Reply(status, b"boom"))
    assert look(vllm) == Look(Health.OTHER, None, None, None, detail=f"HTTP {status}: 'boom'")
    assert vllm.paths() == ["/health"]


def test_a_redirect_is_followed_nowhere(vllm: Any, http: ModuleType) -> None:
    vllm.say("/health", http.Reply(302, b"to the login"))
    assert look(vllm).health is Health.OTHER
    assert vllm.paths() == ["/health"]


def test_vllms_own_503_has_no_body_while_its_other_paths_answer(vllm: Any, http: ModuleType) -> None:
    vllm.say("/health", http.Reply(503))
    vllm.say_json("/version", {"version": "0.32.0"})
    assert look(vllm) == Look(Health.UNAVAILABLE, None, None, None)


@pytest.mark.parametrize("body", [b"", b"Internal Server Error"])
def test_a_500_of_an_old_release_is_a_dead_engine_while_its_other_paths_answer(
    vllm: Any, http: ModuleType, body: bytes
) -> None:
    vllm.say("/health", http.Reply(500, body))
    vllm.say_json("/version", {"version": "0.5.0.post1"})
    assert look(vllm) == Look(Health.UNAVAILABLE, None, None, None)
    for path in ("/version", "/metrics"):
        vllm.say(path, http.Reply(500, body))
    assert look(vllm).health is Health.OTHER


def test_a_server_that_has_no_version_is_known_by_its_metrics(vllm: Any, http: ModuleType) -> None:
    vllm.say("/health", http.Reply(503))
    assert look(vllm).health is Health.UNAVAILABLE


SCALES = b'{"error":"The model is currently scaling. Please try again later."}'


def test_a_server_that_scales_says_so_itself(vllm: Any, http: ModuleType) -> None:
    """vllm-project/vllm#20775: the same on every path."""
    for path in ("/health", "/metrics", "/version"):
        vllm.say(path, http.Reply(503, SCALES))
    seen = look(vllm)
    assert seen.health is Health.SCALING
    assert "currently scaling" in seen.detail


NGINX = b"<html><head><title>503 Service Temporarily Unavailable</title></head><body><hr><center>nginx</center></body>"
HAPROXY = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"
)
ENVOY = b"upstream connect error or disconnect/reset before headers. reset reason: connection failure"
FAULTED = b'{"error": "Service is in faulted state, cannot process requests."}'


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, NGINX),
        (503, HAPROXY),
        (503, ENVOY),
        (503, b"no healthy upstream"),
        (503, b"no available server"),
        (503, b"Service Unavailable"),
        (503, b"{}"),
        (503, b"\n"),
        (503, FAULTED),
        (502, b"<html><h1>502 Bad Gateway</h1></html>"),
        (502, b""),
        (504, b"upstream request timeout"),
        (200, b"<!DOCTYPE html><title>Maintenance</title>"),
    ],
)
def test_what_a_proxy_says_is_not_vllms_word(vllm: Any, http: ModuleType, status: int, body: bytes) -> None:
    vllm.say("/health", http.Reply(status, body))
    seen = look(vllm)
    assert seen.health is Health.GATEWAY
    assert seen.detail.startswith(f"HTTP {status}")


def test_a_503_without_a_body_on_every_path_is_a_proxys(vllm: Any, http: ModuleType) -> None:
    for path in ("/health", "/metrics", "/version"):
        vllm.say(path, http.Reply(503))
    assert look(vllm).health is Health.GATEWAY


@pytest.mark.parametrize(
    "header",
    [
        ("Server", "envoy"),
        ("Server", "nginx/1.27.0"),
        ("Server", "awselb/2.0"),
        ("Via", "1.1 varnish"),
        ("Retry-After", "30"),
        ("X-Envoy-Upstream-Service-Time", "1"),
        ("Transfer-Encoding", "chunked"),
    ],
)
def test_a_503_without_a_body_by_somebody_in_between_is_not_vllms(
    vllm: Any, http: ModuleType, header: tuple[str, str]
) -> None:
    """Envoy's health check filter answers /health alone, and without a body, while everything else goes to vLLM."""
    body = b"0\r\n\r\n" if header[0] == "Transfer-Encoding" else b""
    vllm.say("/health", http.Reply(503, body, headers=dict([header])))
    vllm.say_json("/version", {"version": "0.32.0"})
    assert look(vllm).health is Health.GATEWAY


@contextmanager
def listening(then: Callable[[socket.socket], object]) -> Iterator[str]:
    """The URL of a listener that does `then` with each connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        then(connection)

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("then", [reset, lambda connection: None])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_that_is_closed_before_anything_is_sent_has_nobody_behind_it(then: Any, scheme: str) -> None:
    """moby/moby#18189: Docker's proxy accepts at a published port although nobody listens in the container."""
    with listening(then) as url:
        target = Target("gpu1:8000", url.replace("http", scheme), "pool", "docker")
        assert Probes().look(target, canary=8.0) == Look(Health.UNHEARD, None, None, None)


@pytest.mark.parametrize("last", [b"", b"\x15\x03\x01\x00\x02\x02\x46", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_server_that_hears_the_request_and_closes_is_somebody(last: bytes) -> None:
    """So does one that speaks TLS when it is asked without."""

    def hear(connection: socket.socket) -> None:
        if last.startswith(b"SSH"):
            connection.sendall(last)
        connection.recv(1000)
        connection.sendall(last)

    with listening(hear) as url:
        assert Probes().look(Target("gpu1:8000", url, "pool", "docker"), canary=8.0).health is Health.OTHER


def test_refused_is_not_a_timeout(nobody: str) -> None:
    target = Target("gpu1:8000", nobody, "pool", "supervisord")
    assert Probes().look(target, canary=8.0) == Look(Health.REFUSED, None, None, None)


def test_a_timeout_is_not_refused(vllm: Any, http: ModuleType) -> None:
    vllm.say("/health", http.Reply(hang=True))
    assert look(vllm, timeouts=Timeouts(health=0.2)).health is Health.TIMEOUT


def test_a_name_that_does_not_resolve_is_neither() -> None:
    target = Target("x:1", "http://no-such-host.invalid:8000", "pool", "supervisord")
    seen = Probes().look(target, canary=8.0)
    assert seen.health is Health.UNREACHABLE
    assert "cannot look up no-such-host.invalid" in seen.detail


def test_a_paused_server_gets_no_canary(vllm: Any) -> None:
    vllm.say_json("/is_paused", {"is_paused": True})
    seen = look(vllm)
    assert (seen.paused, seen.canary) == (True, None)
    assert "/v1/completions" not in vllm.paths()


def test_a_sleeping_server_counts_as_paused(vllm: Any, http: ModuleType) -> None:
    vllm.say("/metrics", http.Reply(200, METRICS % (0, 0)))
    seen = look(vllm)
    assert (seen.paused, seen.canary) == (True, None)


@pytest.mark.parametrize("answer", [(404, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b'{"is_paused": "maybe"}')])
def test_a_server_that_does_not_say_gets_its_canary(vllm: Any, http: ModuleType, answer: tuple[int, bytes]) -> None:
    vllm.say("/is_paused", http.Reply(*answer))
    seen = look(vllm)
    assert seen.paused is None
    assert seen.canary is not None
    assert seen.canary.ok


def test_a_hung_engine_answers_neither_pause_nor_canary(vllm: Any, http: ModuleType) -> None:
    vllm.say("/metrics", http.Reply(200, METRICS % (2, 1)))
    vllm.say("/is_paused", http.Reply(hang=True))
    vllm.say("/v1/completions", http.Reply(hang=True))
    seen = look(vllm, canary=0.4, timeouts=Timeouts(paused=0.2))
    assert (seen.health, seen.paused) == (Health.OK, None)
    assert seen.canary is not None
    assert (seen.canary.ok, seen.canary.applicable) == (False, True)
    assert seen.canary.detail == "no answer within 0.4 s"
    assert seen.canary.seconds >= 0.3
    assert seen.work == seen.work_before


def test_an_answer_cut_short_is_a_failed_canary(vllm: Any, http: ModuleType) -> None:
    vllm.say("/v1/completions", http.Reply(200, b'{"choices"', missing=100))
    seen = look(vllm)
    assert seen.canary is not None
    assert (seen.canary.ok, seen.canary.applicable) == (False, True)


def test_metrics_that_cannot_be_read_are_no_values(vllm: Any, http: ModuleType) -> None:
    vllm.say("/metrics", http.Reply(500), http.Reply(200, METRICS % (1, 1), missing=50))
    seen = look(vllm)
    assert (seen.work_before, seen.work) == (None, None)


def test_the_key_is_read_at_each_use(vllm: Any, tmp_path: Path) -> None:
    key = tmp_path / "key"
    for text in ("first", "second"):
        key.write_text(f"{text}\n")
        look(vllm, api_key_file=str(key))
    sent = [r.headers.get("Authorization") for r in vllm.requests if r.path == "/v1/completions"]
    assert sent == ["Bearer first", "Bearer second"]
    assert all("Authorization" not in r.headers for r in vllm.requests if not r.path.startswith("/v1"))


def test_a_key_that_cannot_be_read_proves_nothing_of_the_engine(vllm: Any) -> None:
    seen = look(vllm, api_key_file="/nowhere/key")
    assert seen.canary is not None
    assert (seen.canary.ok, seen.canary.applicable) == (False, False)
    assert seen.canary.detail == "api_key_file /nowhere/key: No such file or directory"


@pytest.mark.parametrize(
    ("status", "answer", "ok", "applicable"),
    [
        (200, {"choices": [{}]}, True, True),
        (200, {"choices": []}, False, True),
        (200, None, False, True),
        (302, {}, False, False),
        (400, {}, False, False),
        (401, {}, False, False),
        (404, {}, False, False),
        (429, {}, False, True),
        (500, {}, False, True),
        (503, {}, False, True),
    ],
)
def test_only_an_answer_that_speaks_of_the_engine_counts(
    status: int, answer: object, ok: bool, applicable: bool
) -> None:
    assert judge(HttpAnswer(status, json.dumps(answer).encode()))[:2] == (ok, applicable)


@pytest.mark.parametrize("answer", [None, [], {}, {"data": []}, {"data": [3]}, {"data": [{}]}])
def test_a_list_without_a_model_names_none(answer: object) -> None:
    assert choose_model(answer) == ""


def test_an_error_is_an_answer_and_silence_is_none(vllm: Any, http: ModuleType) -> None:
    vllm.say("/v1/completions", http.Reply(500))
    erring = look(vllm).canary
    vllm.say("/v1/completions", http.Reply(hang=True))
    silent = look(vllm, canary=0.3).canary
    assert erring is not None
    assert silent is not None
    assert (erring.answered, silent.answered) == (True, False)


@pytest.mark.parametrize("key", ["two\nlines", "d\u00fcr\u2019s", "\ud83d\ude00"])
def test_a_key_that_cannot_be_sent_proves_nothing_and_is_not_shown(vllm: Any, tmp_path: Path, key: str) -> None:
    (tmp_path / "key").write_text(key, encoding="utf-8", errors="surrogatepass")
    seen = look(vllm, api_key_file=str(tmp_path / "key")).canary
    assert seen is not None
    assert (seen.ok, seen.applicable) == (False, False)
    assert "api_key_file" in seen.detail
    assert key not in seen.detail


@pytest.mark.parametrize("path", ["/v1/models", "/v1/completions"])
def test_a_redirect_is_not_followed_and_what_it_says_is_not_repeated(vllm: Any, http: ModuleType, path: str) -> None:
    vllm.say_json("/meta-data", {"SecretAccessKey": "sesame"})
    vllm.say(path, http.Reply(302, b"sesame", headers={"Location": f"{vllm.url}/meta-data"}))
    seen = look(vllm).canary
    assert seen is not None
    assert (seen.ok, seen.applicable) == (False, False)  # whoever redirects is not the engine
    assert seen.detail == "HTTP 302, a redirect, and none is followed; check url of this target"
    assert "/meta-data" not in vllm.paths()


@pytest.mark.parametrize("path", ["/metrics", "/is_paused"])
def test_a_redirect_of_other_pages_tells_nothing(vllm: Any, http: ModuleType, path: str) -> None:
    vllm.say_json("/elsewhere", {"is_paused": True})
    vllm.say(path, http.Reply(307, b'{"is_paused": true}', headers={"Location": f"{vllm.url}/elsewhere"}))
    seen = look(vllm)
    assert (seen.paused, seen.work is None) == ((False, True) if path == "/metrics" else (None, False))
    assert "/elsewhere" not in vllm.paths()


@pytest.mark.parametrize("body", [b"[" * 900_000, b'{"is_paused": ' + b"9" * 5000 + b"}"])
def test_what_nests_or_counts_without_end_is_a_bad_answer_and_no_crash(
    vllm: Any, http: ModuleType, body: bytes
) -> None:
    for path in ("/is_paused", "/v1/models", "/v1/completions"):
        vllm.say(path, http.Reply(200, body))
    seen = look(vllm)
    assert seen.paused is None
    assert seen.canary is not None
    assert (seen.canary.ok, seen.canary.applicable) == (False, True)
    assert len(seen.canary.detail) < 300


def test_a_page_of_more_than_8_mib_is_no_page(vllm: Any, http: ModuleType) -> None:
    lines = METRICS % (2, 1) + b"vllm:x 1\n" * 900_000
    vllm.say("/metrics", http.Reply(200, lines + b"#" * (8 * 1024**2 - len(lines))), http.Reply(200, lines * 2))
    seen = look(vllm)
    assert seen.work_before is not None
    assert seen.work is None


def test_a_look_takes_no_longer_than_all_its_timeouts_whatever_trickles(vllm: Any, http: ModuleType) -> None:
    for path in ("/metrics", "/is_paused", "/v1/completions"):
        vllm.say(path, http.Reply(200, b"#" * 1000, trickle=0.02))
    begun = time.monotonic()
    seen = look(vllm, canary=0.4, timeouts=Timeouts(health=5.0, paused=0.2, metrics=0.2))
    assert time.monotonic() - begun < 5.0  # 1 s, with room for a busy machine; the pages alone would take 20 s each
    assert (seen.health, seen.paused, seen.work) == (Health.OK, None, None)
    assert seen.canary is not None
    assert (seen.canary.ok, seen.canary.answered) == (False, False)

"""One server with its processes, over real sockets and real signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.simulator.processes.squatter import TITLE
from tests.patience import PATIENCE
from tests.ports import free_port
from tests.simulator import harness
from tests.simulator.harness import Running, serving, starting, until
from vllm_exporter.subjects.processes.titles import parse_title
from vllm_healer.actuators.processes import read_process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, "--state", str(tmp_path / "state")) as running:
        yield running


def api_engine_worker(server: Running) -> tuple[int, int, int]:
    api, engine, worker = server.tree
    return api, engine, worker


def test_exporter_and_healer_recognise_the_tree(server: Running) -> None:
    titles = [parse_title(harness.title(pid)) for pid in server.tree]
    assert [found.role for found in titles] == ["api_server", "engine_core", "worker"]
    assert titles[0].port == server.port
    roles = [process.role for pid in server.tree if (process := read_process(pid))]
    assert roles == ["api_server", "engine_core", "worker"]


def test_a_completion_has_words_and_numbers(server: Running) -> None:
    status, text = server.complete(prompt="12345678", max_tokens=3, ignore_eos=True)
    answer = json.loads(text)
    assert status == 200
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert len(answer["choices"][0]["text"].split()) == 3
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (2, 3)
    assert server.value("vllm:generation_tokens_total") == 3


def test_a_stream_ends_with_the_numbers_and_done(server: Running) -> None:
    asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "stream": True}
    _, text = server.post("/v1/chat/completions", {**asked, "stream_options": {"include_usage": True}})
    *events, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert done == "[DONE]"
    first, *_, last = [json.loads(event) for event in events]
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert last["choices"] == []
    assert 1 <= last["usage"]["completion_tokens"] <= 4


def test_a_client_that_leaves_is_no_longer_worked_for(server: Running) -> None:
    with contextlib.suppress(TimeoutError):
        server.complete(timeout=0.3, max_tokens=3000, ignore_eos=True)
    until("nothing runs", lambda: server.value("vllm:num_requests_running") == 0 and server.complete()[0] == 200)
    assert server.value('vllm:request_success_total{engine="0",finished_reason="abort"') == 0


def test_hangs_with_frozen_gauges_and_health_200_until_mended(server: Running) -> None:
    server.break_("hang")
    with pytest.raises(TimeoutError):
        server.complete(timeout=0.5, max_tokens=500)
    assert server.value("vllm:num_requests_running") == 1
    assert server.health() == 200
    with pytest.raises(TimeoutError):
        server.get("/is_paused", 0.3)
    server.post("/sim/mend", {})
    assert server.complete()[0] == 200


def test_a_stopped_engine_looks_hung_and_goes_on_when_continued(server: Running) -> None:
    _, engine, _ = api_engine_worker(server)
    harness.kill(engine, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        server.complete(timeout=0.3)
    assert server.health() == 200
    harness.kill(engine, signal.SIGCONT)
    assert server.complete()[0] == 200


def test_a_stopped_worker_stops_the_engine_too(server: Running) -> None:
    _, _, worker = api_engine_worker(server)
    harness.kill(worker, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        server.complete(timeout=0.3)
    harness.kill(worker, signal.SIGCONT)
    until("it completes again", lambda: server.complete()[0] == 200)


def test_a_killed_engine_means_503_and_then_exit_0_with_nobody_left(tmp_path: Path) -> None:
    with serving(tmp_path, "--speed", "2") as server:  # 503 is over after 2 s
        _, engine, worker = api_engine_worker(server)
        harness.kill(engine, signal.SIGKILL)
        until("503", lambda: server.health() == 503)
        assert server.complete()[0] == 500
        assert server.process.wait(PATIENCE) == 0
        until("the worker has ended", lambda: not harness.lives(worker))
        assert "engine core exited unexpectedly" in server.words()


def test_a_killed_worker_ends_the_server_and_the_log_says_which(server: Running) -> None:
    harness.kill(server.tree[2], signal.SIGKILL)
    assert server.process.wait(PATIENCE) == 0
    assert "Worker proc VllmWorker-0 died unexpectedly (exit code: -9)" in server.words()


def test_a_killed_api_server_leaves_orphans_that_end_on_sigterm(server: Running) -> None:
    _, engine, worker = api_engine_worker(server)
    with contextlib.suppress(OSError):
        server.break_("orphan")
    server.process.wait(PATIENCE)
    assert harness.lives(engine)
    assert harness.lives(worker)
    harness.kill(engine, signal.SIGTERM)
    until("both have ended", lambda: not (harness.lives(engine) or harness.lives(worker)))


def test_sigterm_ends_all_three_with_code_0(server: Running) -> None:
    harness.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    assert not any(map(harness.lives, server.tree))
    assert "[shutdown] API server: shutdown triggered" in server.words()


def test_a_crash_is_logged_with_its_cause_and_ends_with_code_1(server: Running) -> None:
    assert server.break_("crash")[0] == 200
    assert server.process.wait(PATIENCE) == 1
    assert "EngineCore encountered a fatal error." in server.words()


def test_a_crash_loop_lasts_until_it_is_mended(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    with serving(tmp_path, *state) as server:
        server.break_("crash_loop")
        server.process.wait(PATIENCE)
    port = free_port()
    with starting(tmp_path, port, *state) as server:
        assert server.process.wait(PATIENCE) == 1
        assert "Engine core initialization failed. See root cause above" in server.words()
    harness.mend(tmp_path / "state")
    with serving(tmp_path, *state) as server:
        assert server.complete()[0] == 200


def test_a_poison_client_goes_on_after_the_restart_but_not_at_once(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    with serving(tmp_path, *state) as server:
        server.break_("poison")
        assert server.process.wait(PATIENCE) == 0
    with serving(tmp_path, *state) as server:  # the client's pause is 2.5 s of ours
        assert server.complete()[0] == 200
        assert server.process.wait(PATIENCE) == 0


def test_who_takes_the_port_does_not_look_like_vllm(server: Running) -> None:
    server.break_("port_conflict")
    server.process.wait(PATIENCE)
    until("it has the port", lambda: bool(listeners(server.port)))
    [squatter] = listeners(server.port)
    title = harness.title(squatter)
    harness.kill(squatter, signal.SIGKILL)
    assert title.startswith(TITLE.encode())


def listeners(port: int) -> list[int]:
    """Processes of this user that listen there."""
    sockets = psutil.net_connections("tcp4")
    return [one.pid for one in sockets if one.pid and one.status == "LISTEN" and one.laddr and one.laddr.port == port]


def test_a_taken_port_fails_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with starting(tmp_path, taken.getsockname()[1], "--start-seconds", "60") as server:
            assert server.process.wait(PATIENCE) == 1
            assert "[Errno 98] Address already in use" in server.words()


def test_what_must_outlive_the_process_needs_a_directory(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        status, text = server.break_("crash_loop")
        assert status == 409
        assert "--state DIR" in text
        assert server.break_("hung")[0] == 400
        assert server.complete()[0] == 200


def test_a_key_guards_v1_and_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path, "--api-key", "secret", "--no-dev-mode") as server:
        assert server.complete() == (401, '{"error":"Unauthorized"}')
        assert server.get("/health")[0] == 200
        assert server.get("/is_paused")[0] == 404


def test_paused_and_asleep_hold_requests_until_mended(server: Running) -> None:
    for how, question in (("paused", "/is_paused"), ("asleep", "/is_sleeping")):
        server.break_(how)
        with pytest.raises(TimeoutError):
            server.complete(timeout=0.2)
        assert "true" in server.get(question)[1]
        assert server.value("vllm:num_requests_waiting{") == 0
        awake = server.value('vllm:engine_sleep_state{engine="0",model_name="sim",sleep_state="awake"}')
        assert awake == (how == "paused")
        server.post("/sim/mend", {})
        assert server.complete()[0] == 200


def test_503_stays_up_and_answers_500(server: Running) -> None:
    server.break_("503")
    assert (server.health(), server.complete()[0], server.get("/v1/models")[0]) == (503, 500, 200)
    server.post("/sim/mend", {})
    assert (server.health(), server.complete()[0]) == (200, 200)


def test_corrupted_answers_are_all_the_same_sign(server: Running) -> None:
    server.break_("corrupt")
    assert '"text":"!!"' in server.complete()[1]


def test_a_script_breaks_and_mends_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("0 503\n16 mend\n")  # simulated seconds: two real ones
    with starting(tmp_path, free_port(), "--script", str(script)) as server:
        until("it is broken", lambda: server.health() == 503)
        until("it is mended", lambda: server.health() == 200)


def test_a_web_page_cannot_break_a_server(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("POST", "/sim/break", b'{"how": "crash"}', {"Origin": "http://example.org"})
    assert connection.getresponse().status == 403
    connection.close()
    assert server.health() == 200


def test_the_api_server_takes_its_time_before_the_engine_has_a_request(tmp_path: Path) -> None:
    with serving(tmp_path, "--request-seconds", "4") as server:  # simulated: half a real one
        before = time.monotonic()
        assert server.complete()[0] == 200
        assert time.monotonic() - before >= 0.5

"""The in-process part in a real vLLM: what it counts is what clients saw, and what vLLM itself says of the rest."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import httpio
from tests.e2e.harness.inside_part import installed
from tests.e2e.harness.load import Load
from tests.e2e.harness.processes import Part, descendants
from tests.e2e.harness.small_healer import Clients, small_healer
from tests.e2e.harness.vllm_server import VllmServer
from tests.e2e.harness.waiting import until
from tests.exporter.bench.programs import exporter
from tests.patience import PATIENCE, wait_for
from tests.ports import free_port
from vllm_healer.actuators.vllm_http import ask_server
from vllm_healer.model import Target

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TOKEN = "a-long-random-word"
GOOD = {"model": "tiny", "prompt": "hello", "max_tokens": 8, "ignore_eos": True}
STREAMS = 32  # twice what the server computes at once
GIVEN_UP = 5  # streams whose clients go away
LONG = {**GOOD, "max_tokens": 900, "stream": True}


@dataclass
class Scene:
    """A server with the part inside, and an exporter beside it. `env`: what both were started with."""

    server: VllmServer
    env: dict[str, str]
    pid: int
    page: str  # the exporter's
    events: Path  # the file of its events

    def value(self, name: str, **labels: str) -> float:
        """The sum over the series of that name with these labels."""
        return self.at(self.page, name, **labels)

    def at_own_port(self, name: str, **labels: str) -> float:
        """The same, without the exporter."""
        return self.at(f"http://127.0.0.1:{self.env['VLLM_MONITOR_PORT']}/metrics", name, **labels)

    def at(self, page: str, name: str, **labels: str) -> float:
        found = 0.0
        for line in httpio.get_text(page).splitlines():
            if line.startswith((f"{name}{{", f"{name} ")) and all(
                f'{key}="{value}"' in line for key, value in labels.items()
            ):
                found += float(line.rsplit(" ", 1)[1])
        return found

    def own(self, name: str) -> float:
        """What vLLM's own page says."""
        page = httpio.get_text(f"{self.server.url}/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in page if line.startswith(f"{name}{{"))

    def failed(self) -> list[dict[str, Any]]:
        """The events of failed requests."""
        text = self.events.read_text() if self.events.exists() else ""
        events = map(json.loads, text.splitlines())
        return [event for event in events if event["kind"] == "failed_request"]

    def gone(self) -> int:
        """Requests whose client went away before the end."""
        return int(self.value("vllm_request_errors_total", type="client_abort"))

    def ask(self, body: object, path: str = "/v1/completions") -> int:
        return httpio.post_json(f"{self.server.url}{path}", body, timeout=60.0)[0]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a person types in vLLM's environment."""
        command = [sys.executable, "-m", "vllm_monitor", *words]
        return subprocess.run(command, env={**os.environ, **self.env}, capture_output=True, text=True, check=False)

    def engine(self) -> int:
        """The process id of the engine core."""
        return next(
            each.pid for each in descendants(self.pid) if "EngineCor" in Path(f"/proc/{each.pid}/comm").read_text()
        )


@pytest.fixture(scope="module")
def scene(script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(script, tmp_path_factory.mktemp("inside"), {"ENABLE_REQUEST_TIMING": "1"}) as made:
        yield made


@contextlib.contextmanager
def running(
    script: Path, folder: Path, more: Mapping[str, str], options: Sequence[str] = (), plugins: Sequence[Path] = ()
) -> Iterator[Scene]:
    """A scene until the block ends. `more`: of the server's environment; `plugins`: folders of further ones."""
    snapshots = folder / "snapshots"
    snapshots.mkdir(mode=0o755)
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    env = {
        "PYTHONPATH": os.pathsep.join(map(str, (installed(folder / "site"), *plugins))),
        "VLLM_MONITOR_DIR": str(snapshots),
        "VLLM_MONITOR_TOKEN_FILE": str(token),
        "VLLM_MONITOR_PORT": str(free_port()),
        "VLLM_SERVER_DEV_MODE": "1",  # else there are no management paths
        **more,
    }
    arguments = ("--middleware", "vllm_monitor.Middleware", "--max-num-seqs", "16", *options)
    server = VllmServer(script, free_port(), arguments, env)
    command = ["/bin/bash", str(script), "serve", *server.args]
    part = Part(
        "vllm",
        command,
        folder / "vllm.log",
        {**os.environ, "HOST": "127.0.0.1", "PORT": str(server.port), **env},
        folder,
    )
    part.start()
    try:
        server.wait_ready()
        short = "probe: {warmup_seconds: 1}\n"  # the tiny model compiles nothing
        with exporter(folder, server.port, {"VLLM_MONITOR_DIR": str(snapshots)}, short) as watching:
            yield Scene(
                server, env, part.pid, f"http://127.0.0.1:{watching.port}/metrics", folder / "state" / "events.jsonl"
            )
    finally:
        part.stop()


def give_up(server: VllmServer) -> None:
    """A client that reads the beginning of a stream and goes away."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(LONG), {"Content-Type": "application/json"})
    connection.getresponse().read(10)
    sock = connection.sock
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def test_counts_agree_with_the_clients_tally_and_with_vllm(scene: Scene) -> None:
    bad = {**GOOD, "max_tokens": -1}
    asked = [GOOD] * 60 + [{**GOOD, "stream": True}] * 60 + [bad] * 10 + [{**GOOD, "model": "absent"}] * 10
    with ThreadPoolExecutor(12) as clients:
        tally = Counter(clients.map(scene.ask, asked))
        list(clients.map(give_up, [scene.server] * GIVEN_UP))
    assert tally == {200: 120, 400: 10, 404: 10}
    wait_for(
        lambda: scene.value("vllm_requests_total") == 145, "all requests", lambda: httpio.get_text(scene.page)[-3000:]
    )
    assert 1 <= scene.gone() <= GIVEN_UP  # a busy machine may have answered one before it sees that its client is gone
    assert scene.value("vllm_requests_total", status="success") == 120 + GIVEN_UP - scene.gone()
    assert scene.value("vllm_request_errors_total", type="validation") == 10
    assert scene.value("vllm_request_errors_total", type="not_found") == 10
    assert scene.value("vllm_requests_in_flight") == 0
    wait_for(
        lambda: scene.value("vllm_tokens_generated_total") == scene.own("vllm:generation_tokens_total"), "the tokens"
    )
    wait_for(lambda: scene.value("vllm_tenant_tokens_total", tenant="none", kind="output") >= 120 * 8)
    for ours, theirs in (
        ("vllm_request_queue_seconds_sum", "vllm:request_queue_time_seconds_sum"),
        ("vllm_request_prefill_seconds_sum", "vllm:request_prefill_time_seconds_sum"),
        ("vllm_request_decode_seconds_sum", "vllm:request_decode_time_seconds_sum"),
        ("vllm_inter_token_seconds_sum", "vllm:inter_token_latency_seconds_sum"),
    ):
        assert scene.value(ours) == pytest.approx(scene.own(theirs), rel=1e-9), ours
    assert scene.at_own_port("vllm_requests_total") == 145
    assert scene.at_own_port("vllm_request_errors_total", type="validation") == 10
    assert scene.value("vllm_inside_steps_lost_total") == 0
    assert scene.value("vllm_inside_requests_lost_total") == 0


def test_each_failed_request_is_one_event_with_its_tokens(scene: Scene) -> None:
    """Those of the test before."""
    wait_for(lambda: len(scene.failed()) >= 20 + scene.gone(), "all events", lambda: scene.failed())
    found = scene.failed()
    said = httpio.post_json(f"{scene.server.url}/v1/completions", GOOD, timeout=60.0)[1]
    prompt = json.loads(said)["usage"]["prompt_tokens"]
    assert Counter(event["type"] for event in found) == {
        "validation": 10,
        "not_found": 10,
        "client_abort": scene.gone(),
    }
    assert len({event["id"] for event in found if event["type"] == "client_abort"}) == scene.gone()
    for event in found:
        assert event["endpoint"] == "/v1/completions"
        assert event["server"] == f"{socket.gethostname()}:{scene.server.port}"
        if event["type"] == "client_abort":
            assert event["id"].startswith("cmpl-")
            assert event["prompt_tokens"] == prompt, event
            assert 0 < event["output_tokens"] < 900, event
            assert event["ttft_seconds"] < event["duration_seconds"] < 60, event
        else:
            assert "output_tokens" not in event


def test_the_log_tells_of_each_request_from_its_start_to_its_end(scene: Scene) -> None:
    """Those of the tests before."""

    def told(words: str) -> int:
        return (scene.events.parents[1] / "vllm.log").read_text().count(words)

    wait_for(lambda: told("[REQUEST COMPLETE]") == told("[REQUEST START] action=generate") >= 146)
    # Those that were answered as a whole; '?' where the answer was out before the engine had said its tokens.
    assert told("~tokens=8, ") > 0
    assert told("~tokens=8, ") + told("~tokens=?, ") >= 61
    assert told(", error=client_abort") == scene.gone()


def test_the_check_says_that_all_of_it_loads(scene: Scene) -> None:
    command = ["install-plugin", "--check", "--json", "--port", str(scene.server.port)]
    done = subprocess.run(
        [sys.executable, "-m", "vllm_exporter.cli", *command],
        env={**os.environ, "VLLM_MONITOR_DIR": scene.env["VLLM_MONITOR_DIR"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    (told,) = json.loads(done.stdout)
    assert {one["verdict"] for one in told["checks"]} == {"ok"}


def test_each_process_frees_memory_when_a_person_asks(scene: Scene) -> None:
    """On a CPU there is no device whose memory could be freed."""
    with ThreadPoolExecutor(1) as client:
        streaming, began = client.submit(scene.ask, LONG), time.monotonic()
        done = scene.command("free-memory", "--wait", f"{PATIENCE:g}")
        waited = time.monotonic() - began  # a busy machine takes seconds for what is milliseconds
        assert streaming.result() == 200
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in sorted(done.stdout.splitlines())] == ["api_server", "engine_core", "worker"]
    assert done.stdout.count("and 0 of devices") == 3
    wait_for(lambda: scene.value("vllm_memory_lever_pulls_total") == 3)
    for role in ("api_server", "engine_core", "worker"):
        assert scene.value("vllm_inside_processes", role=role) == 1
        assert scene.value("vllm_memory_lever_pulls_total", role=role) == 1
        assert scene.value("vllm_memory_lever_seconds_total", role=role) < waited
        assert scene.value("vllm_memory_lever_freed_bytes_total", role=role, memory="device") == 0
    assert scene.ask(GOOD) == 200


def test_a_person_sheds_load_and_takes_it_back(scene: Scene) -> None:
    generation = scene.value("vllm_throttle_generation")
    assert scene.command("throttle", "on", "--concurrency", "0", "--model", "tiny", "--for", "1m").returncode == 0
    wait_for(lambda: scene.value("vllm_throttle_processes") == 1)
    assert scene.value("vllm_throttle_generation") > generation
    client = http.client.HTTPConnection("127.0.0.1", scene.server.port, timeout=60)
    for _ in range(2):  # over the same connection
        client.request("POST", "/v1/completions", json.dumps(GOOD), {"Content-Type": "application/json"})
        answer = client.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert json.loads(answer.read())["error"]["type"] == "rate_limit_exceeded"
    assert scene.ask({**GOOD, "model": "absent"}) == 404
    assert scene.server.health() == 200
    assert scene.command("throttle", "off").returncode == 0
    wait_for(lambda: scene.value("vllm_throttle_processes") == 0)
    assert scene.ask(GOOD) == 200
    wait_for(lambda: scene.value("vllm_throttle_refusals_total", reason="concurrency") == 2)


def test_management_paths_are_closed_without_the_token(scene: Scene) -> None:
    shown = {"X-Vllm-Monitor-Token": TOKEN}
    for path in ("/reset_prefix_cache", "//reset_prefix_cache", "/reset_prefix_cache%0a", "/%73leep", "/server_info"):
        assert httpio.request(f"{scene.server.url}{path}", b"{}")[0] == 404
        assert httpio.request(f"{scene.server.url}{path}", b"{}", {"X-Vllm-Monitor-Token": f"{TOKEN}x"})[0] == 404
    assert httpio.request(f"{scene.server.url}/reset_prefix_cache", b"", shown)[0] == 200
    assert httpio.post_json(f"{scene.server.url}/collective_rpc", {"method": "check_health"}, shown)[0] == 200
    assert httpio.status(f"{scene.server.url}/is_paused") == 200
    assert httpio.request(f"{scene.server.url}/vllm-monitor/throttle", None, shown)[0] == 200
    assert httpio.request(f"{scene.server.url}/vllm-monitor/throttle")[0] == 404
    wait_for(lambda: scene.value("vllm_management_refusals_total") == 10)
    assert scene.value("vllm_management_token_unusable") == 0


def test_the_healer_throttles_an_overloaded_server_and_takes_it_off_again(scene: Scene, tmp_path: Path) -> None:
    """80 clients, of which 16 are computed at once; a quarter more are let in until the load is less."""
    name, token = f"127.0.0.1:{scene.server.port}", scene.env["VLLM_MONITOR_TOKEN_FILE"]
    target = Target(name, scene.server.url, "pool", "around", monitor_token_file=token)
    with small_healer(tmp_path, target, "throttle") as healer:
        wait_for(lambda: healer.journal.memory(name).seen_ready, "the first look", lambda: "\n".join(healer.history()))
        clients = Clients(lambda: scene.ask({**GOOD, "max_tokens": 200}), 80)
        try:
            wait_for(lambda: scene.own("vllm:num_requests_waiting") > 30, "a queue")
            healer.fire("VllmQueueOverload", name)
            wait_for(lambda: 429 in clients.statuses, "the throttle", lambda: "\n".join(healer.history()))
            wait_for(lambda: scene.own("vllm:num_requests_waiting") <= 4, "a short queue")
            assert any(": done, " in line and "lets in 20 requests at once" in line for line in healer.history())
        finally:
            clients.stop()
        wait_for(lambda: not healer.journal.open_incidents(), "the end", lambda: "\n".join(healer.history()))
        assert any("recovered" in line and "the throttle was taken off" in line for line in healer.history())
    assert set(clients.statuses) == {200, 429}
    assert scene.ask(GOOD) == 200
    assert json.loads(ask_lever(scene))["limits"] == []


def ask_lever(scene: Scene) -> str:
    """What the part inside says of its throttle."""
    target = Target("x", scene.server.url, "", "", monitor_token_file=scene.env["VLLM_MONITOR_TOKEN_FILE"])
    return ask_server(target, "GET", "/vllm-monitor/throttle", None, 5.0)


def test_a_stopped_engine_shows_by_the_age_of_its_last_step(scene: Scene) -> None:
    assert scene.ask(GOOD) == 200  # whose steps are the last
    os.kill(scene.engine(), signal.SIGSTOP)
    with ThreadPoolExecutor(1) as client:
        try:
            asked = client.submit(scene.ask, GOOD)
            wait_for(lambda: scene.value("vllm_requests_in_flight", phase="waiting") == 1)
            wait_for(lambda: scene.value("vllm_engine_step_age_seconds", engine="0") > 5)
            assert scene.value("vllm_event_loop_lag_seconds") < 5
            assert scene.value("vllm_inside_snapshot_age_seconds", role="api_server") < 5
            assert scene.value("vllm_inside_snapshot_age_seconds", role="engine_core") > 3
        finally:
            os.kill(scene.engine(), signal.SIGCONT)
        assert asked.result() == 200
    wait_for(lambda: scene.value("vllm_requests_in_flight") == 0)


SHORTEST_LIMIT, AFTER_IT = 12.0, 8.0  # seconds; the limit follows the steps seen, and the probes come after it


def test_an_engine_that_stands_still_under_load_is_stalled_when_its_limit_is_over(scene: Scene) -> None:
    assert scene.value("vllm_server_stalled") == 0
    with Load(scene.server.port, 4, 120, prompt_tokens=4, max_tokens=900):
        wait_for(lambda: scene.value("vllm_num_running_sequences") == 4)
        engine, began = scene.engine(), time.monotonic()
        os.kill(engine, signal.SIGSTOP)
        try:
            until("the stall", lambda: scene.value("vllm_server_stalled") == 1, 60.0)
            seconds, limit = time.monotonic() - began, scene.value("vllm_server_stall_limit_seconds")
            assert limit >= SHORTEST_LIMIT
            assert limit <= seconds <= limit + AFTER_IT
        finally:
            os.kill(engine, signal.SIGCONT)
        wait_for(lambda: scene.value("vllm_server_stalled") == 0)
    wait_for(lambda: scene.value("vllm_requests_in_flight") == 0)


def test_a_frozen_api_server_shows_by_the_age_of_its_file(scene: Scene) -> None:
    os.kill(scene.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: scene.value("vllm_inside_snapshot_age_seconds", role="api_server") > 5)
    finally:
        os.kill(scene.pid, signal.SIGCONT)
    wait_for(lambda: scene.value("vllm_inside_snapshot_age_seconds", role="api_server") < 2.5)


def test_streams_that_an_engines_death_ends_are_counted(scene: Scene) -> None:
    before = scene.value("vllm_requests_total", status="success")

    def stream(number: int) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            scene.ask({**LONG, "prompt": f"{number}"})

    with ThreadPoolExecutor(STREAMS) as clients:
        asked = [clients.submit(stream, number) for number in range(STREAMS)]
        wait_for(lambda: scene.value("vllm_requests_in_flight", phase="answering") > 6)
        os.kill(scene.engine(), signal.SIGKILL)
        for each in asked:
            each.result()

    def broken() -> float:
        counted = (scene.value("vllm_request_errors_total", type=kind) for kind in ("engine_dead", "in_stream"))
        return sum(counted) + scene.value("vllm_requests_total", status="success") - before

    wait_for(lambda: broken() == STREAMS, "each to be counted", lambda: httpio.get_text(scene.page)[-4000:])
    assert scene.value("vllm_request_errors_total", type="in_stream") > 0  # of the answers that had begun

"""Pushing events to Loki: what is sent, what is given up, and a real one."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exporter import told
from tests.exporter.fakes import FakeClock
from tests.patience import wait_for
from tests.ports import free_ports
from vllm_exporter.clock import SystemClock
from vllm_exporter.errors import ConfigError
from vllm_exporter.facts.events import Event
from vllm_exporter.net.http import ClientResponse, Refused
from vllm_exporter.subjects.events.loki import MAX_PUSH, MAX_WAITING, Loki, format_push, parse_url, prepare, sender


def event(number: int = 0, server: str = "gpu1:8000", model: str = "llama", at: float = 1_795_273_440.25) -> Event:
    return told.line(f"event {number}", "error", server=server, model_name=model, time=at)


class Server:
    """Takes pushes, and answers with one status after the other, the last one from then on."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []

    def __call__(self, body: bytes) -> ClientResponse:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 0:
            raise Refused("POST http://loki:3100: connection refused")
        self.bodies.append(body)
        return ClientResponse(status, b"entry too far behind" if status >= 400 else b"")

    def sent(self) -> list[str]:
        streams = [stream for body in self.bodies for stream in json.loads(body)["streams"]]
        return [json.loads(line)["summary"] for stream in streams for _, line in stream["values"]]


def test_a_push_has_a_stream_for_each_set_of_labels_in_the_order_of_time() -> None:
    batch = [prepare(one) for one in (event(1, at=2.5), event(2, at=1.0), event(3, server="", model=""))]
    data = json.loads(format_push(batch))
    assert [stream["stream"] for stream in data["streams"]] == [
        {"kind": "log", "model_name": "llama", "server": "gpu1:8000"},
        {"kind": "log"},
    ]
    assert [at for at, _ in data["streams"][0]["values"]] == ["1000000000", "2500000000"]
    assert json.loads(data["streams"][0]["values"][0][1])["summary"] == "event 2"


def test_pushes_what_waits_and_nothing_when_nothing_does() -> None:
    server = Server(204)
    loki = Loki(server, FakeClock())
    loki.push()
    loki.offer([event(1), event(2)])
    loki.push()
    loki.push()
    assert server.sent() == ["event 1", "event 2"]
    assert (loki.waiting, loki.dropped, loki.pushes) == (0, 0, {"ok": 1, "failed": 0, "rejected": 0})


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_tries_again_after_growing_pauses(status: int) -> None:
    server, clock = Server(status, status, 204), FakeClock()
    loki = Loki(server, clock)
    loki.offer([event(1)])
    loki.push()
    clock.advance(0.9)
    loki.push()  # too soon
    clock.advance(0.1)
    loki.push()  # the second failure: a pause of 2 s
    clock.advance(1.9)
    loki.push()  # too soon
    clock.advance(0.1)
    loki.push()
    assert loki.pushes == {"ok": 1, "failed": 2, "rejected": 0}
    assert (loki.waiting, loki.dropped) == (0, 0)


def test_gives_up_what_loki_refuses() -> None:
    loki = Loki(Server(400, 204), FakeClock())
    loki.offer([event(1)])
    loki.push()
    assert (loki.waiting, loki.dropped, loki.pushes["rejected"]) == (0, 1, 1)


def test_gives_up_the_oldest_when_too_many_wait() -> None:
    server, clock = Server(0, 204), FakeClock()
    loki = Loki(server, clock)
    loki.offer(event(number) for number in range(MAX_WAITING + 3))
    loki.push()
    assert (loki.waiting, loki.dropped) == (MAX_WAITING, 3)
    clock.advance(1.0)
    loki.push()
    assert (len(server.sent()), server.sent()[0]) == (MAX_PUSH, "event 3")
    assert loki.waiting == MAX_WAITING - MAX_PUSH


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://loki:3100", (False, "loki", 3100, "/loki/api/v1/push")),
        ("http://loki:3100/", (False, "loki", 3100, "/loki/api/v1/push")),
        ("https://logs.example/x/push", (True, "logs.example", 443, "/x/push")),
        ("http://[::1]:3100", (False, "::1", 3100, "/loki/api/v1/push")),
        ("http://[::1]", (False, "::1", 80, "/loki/api/v1/push")),
    ],
)
def test_reads_an_address(url: str, parts: tuple[bool, str, int, str]) -> None:
    assert parse_url(url) == parts


@pytest.mark.parametrize("url", ["loki:3100", "ftp://loki", "http://", "http://loki:0", "http://a b:1"])
def test_refuses_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match=r"collectors\.events\.loki_url"):
        parse_url(url)


CONFIG = """
auth_enabled: false
server:
  {{http_listen_address: 127.0.0.1, http_listen_port: {port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: {grpc}}}
common:
  path_prefix: {path}
  replication_factor: 1
  ring: {{instance_addr: 127.0.0.1, kvstore: {{store: inmemory}}}}
  storage: {{filesystem: {{chunks_directory: {path}/chunks, rules_directory: {path}/rules}}}}
schema_config:
  configs:
  - {{from: 2020-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {{prefix: i_, period: 24h}}}}
frontend: {{address: 127.0.0.1}}
memberlist: {{bind_addr: [127.0.0.1]}}
analytics: {{reporting_enabled: false}}
"""


def grafana_loki() -> str:
    """Debian has another program of that name."""
    program = shutil.which("loki") or ""
    words = subprocess.run([program, "-version"], capture_output=True, text=True) if program else None
    return program if words and "loki, version" in words.stdout + words.stderr else ""


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
        return body


@pytest.fixture
def real_loki(tmp_path: Path) -> Iterator[str]:
    program = grafana_loki()
    if not program:
        pytest.skip("no Loki of Grafana on PATH")
    port = free_ports(2)
    (tmp_path / "loki.yml").write_text(CONFIG.format(port=port, grpc=port + 1, path=tmp_path))
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([program, f"-config.file={tmp_path}/loki.yml"], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:

        def ready() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            try:
                return bool(get(f"{url}/ready"))
            except OSError:
                return False

        wait_for(ready, "Loki", pause=0.5)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.mark.real
@pytest.mark.timeout(120)
def test_a_real_loki_takes_events_and_finds_them_by_their_labels(real_loki: str) -> None:
    loki = Loki(sender(real_loki), SystemClock())
    now = time.time()
    loki.offer([event(1, at=now), event(2, at=now - 1), replace(told.xid(79), time=now)])
    loki.push()
    assert (loki.pushes["ok"], loki.waiting, loki.dropped) == (1, 0, 0)

    def found(query: str) -> list[str]:
        data = json.loads(get(f"{real_loki}/loki/api/v1/query_range?query={urllib.parse.quote(query)}"))
        lines = sorted((at, line) for stream in data["data"]["result"] for at, line in stream["values"])
        return [json.loads(line)["summary"] for _, line in lines]

    wait_for(lambda: found('{kind="xid"}'), pause=0.5)
    assert found('{server="gpu1:8000", model_name="llama", kind="log"}') == ["event 2", "event 1"]
    assert found('{kind="xid"}') == ["Xid 79"]


@pytest.mark.real
@pytest.mark.timeout(120)
def test_a_real_loki_refuses_what_is_a_year_old_and_it_is_given_up(real_loki: str) -> None:
    loki = Loki(sender(real_loki), SystemClock())
    loki.offer([event(1, at=time.time() - 365 * 86400)])
    loki.push()
    assert (loki.pushes["rejected"], loki.waiting, loki.dropped) == (1, 0, 1)

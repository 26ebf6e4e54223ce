"""Asking the exporter that runs, and its absence."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.exporter.answering import Answering, ok
from tests.exporter.fakes import FakeClock, LogLines, collector
from vllm_exporter.app import App
from vllm_exporter.cli import main
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.errors import SourceError
from vllm_exporter.facts.facts import ServerSight, Sights
from vllm_exporter.people.exporter_health import ask_exporter
from vllm_exporter.people.status import HealthClient, is_complete, watch
from vllm_exporter.run.collector import Context

WAIT = 45.0  # seconds a test waits for what must happen
REFUSED = ServerSight("refused")

SERVERS = [{"server": "a:1", "health": "ok", "stalled": False}]
SAID = {"stats": {"servers": SERVERS}, "summary": "=== vLLM Health Stats @ 14:03:07 ===\nall is well\n"}


class Exporter:
    """Answers every connection with the same body."""

    def __init__(self) -> None:
        self.body, self.asked = json.dumps(SAID).encode(), b""
        self._server = Answering(self._answer)
        self.listen = self._server.address
        self.close = self._server.close

    def _answer(self, connection: socket.socket) -> None:
        self.asked = connection.recv(65536)
        connection.sendall(ok(self.body))


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with closing(Exporter()) as made:
        yield made


def test_the_running_exporter_is_asked(exporter: Exporter, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--listen", exporter.listen]) == 0
    assert exporter.asked.startswith(b"GET /health HTTP/1.1\r\n")
    assert capsys.readouterr().out == f"{SAID['summary']}\nSaid by the exporter on {exporter.listen}.\n"


def test_prints_json_as_it_was_said(exporter: Exporter, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "--listen", exporter.listen]) == 0
    assert json.loads(capsys.readouterr().out) == SAID


@pytest.mark.parametrize("bad", [{"health": "refused", "stalled": None}, {"health": "ok", "stalled": True}])
def test_a_server_that_does_not_serve_exits_1(exporter: Exporter, bad: dict[str, object]) -> None:
    exporter.body = json.dumps({**SAID, "stats": {"servers": [*SERVERS, {"server": "b:1", **bad}]}}).encode()
    assert main(["status", "--json", "--listen", exporter.listen]) == 1


@pytest.mark.parametrize("body", [b"hello", b"[]", b'{"stats": 3}'])
def test_something_else_that_answers_there_is_an_error(exporter: Exporter, body: bytes) -> None:
    exporter.body = body
    with pytest.raises(SourceError, match="is not a vllm-exporter of this release; name its address with --listen"):
        ask_exporter(Config(listen=exporter.listen))


def test_without_an_exporter_the_collectors_are_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Config] = []
    monkeypatch.setattr("vllm_exporter.people.status.start_collecting", started.append)
    monkeypatch.setattr("vllm_exporter.people.status.health_facts", lambda app: SAID)
    asker = HealthClient(Config(listen="127.0.0.1:1", state_dir="/var/lib/vllm-exporter"))
    assert asker.ask() == (SAID, "by own collection; no exporter answers on 127.0.0.1:1")
    assert len(started) == 1
    assert Path(started[0].state_dir).is_dir()
    assert started[0].state_dir != "/var/lib/vllm-exporter"
    asker.close()
    assert not Path(started[0].state_dir).exists()


def test_to_watch_it_as_json_gives_a_document_a_line(exporter: Exporter, capsys: pytest.CaptureFixture[str]) -> None:
    class Twice(threading.Event):
        """Set after two pictures."""

        left = 2

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == 2.0
            self.left -= 1
            if not self.left:
                self.set()
            return self.is_set()

    watch(HealthClient(Config(listen=exporter.listen)), Twice(), as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [SAID, SAID]
    watch(HealthClient(Config(listen=exporter.listen)), Twice())
    assert capsys.readouterr().out.count("=== vLLM Health Stats @ 14:03:07 ===") == 2


def test_own_collection_waits_until_each_server_has_answered_or_not_in_time(log_lines: LogLines) -> None:
    config = Config(targets=(TargetConfig("a:1", "a:1"),))
    context = Context(config, FakeClock())
    app = App(context, {"probe": collector(lambda: iter(()))}, log_lines)
    assert not is_complete(app)
    app.run_once(WAIT)
    assert not is_complete(app)
    context.board.post(Sights({}))
    assert not is_complete(app)
    context.board.post(Sights({"a:1": REFUSED}))
    assert is_complete(app)


def test_own_collection_without_a_probe_waits_for_no_server(log_lines: LogLines) -> None:
    app = App(Context(Config(targets=(TargetConfig("a:1", "a:1"),)), FakeClock()), {}, log_lines)
    assert is_complete(app)


def test_an_exporter_that_listens_everywhere_is_asked_on_loopback(exporter: Exporter) -> None:
    port = exporter.listen.rpartition(":")[2]
    assert ask_exporter(Config(listen=f"0.0.0.0:{port}")) == SAID

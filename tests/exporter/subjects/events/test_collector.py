"""The events collector: from the bus to a file and to Loki."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.exporter import told
from tests.exporter.answering import Answering
from tests.exporter.fakes import FakeClock
from tests.ports import free_port
from vllm_exporter.config.config import CollectorConfig, Config
from vllm_exporter.config.yaml_lines import Value
from vllm_exporter.errors import ConfigError
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.events.collector import QUEUE, EventsCollector


def made(state_dir: str, **options: str | int) -> tuple[EventsCollector, Context]:
    given = {name: Value(value, "exporter.yml line 1") for name, value in options.items()}
    config = Config(state_dir=state_dir, collectors={"events": CollectorConfig(options=given)})
    context = Context(config, FakeClock(wall=1_795_273_440.25))
    return EventsCollector(context), context


def shown(collector: EventsCollector) -> dict[tuple[str, ...], float]:
    return {(sample.family.name, *sample.values): sample.value for sample in collector.collect()}


def test_writes_events_as_lines_of_json_and_counts_them(tmp_path: Path) -> None:
    collector, context = made(str(tmp_path))
    context.bus.emit(told.xid(79))
    context.bus.emit(told.changed("ready", server="gpu1:8000"))
    context.bus.emit(told.changed("serving", server="gpu1:8000"))
    values = shown(collector)
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["summary"] for line in lines] == ["XID 79", "ready", "serving"]
    assert json.loads(lines[0]) == {
        "time": "2026-11-21T15:04:00.250Z",
        "kind": "xid",
        "server": "",
        "model_name": "",
        "severity": "critical",
        "summary": "XID 79",
        "gpu_id": "0",
        "xid": 79,
        "xid_class": "restart_host",
    }
    assert values == {
        ("vllm_events_total", "xid", "critical"): 1,
        ("vllm_events_total", "lifecycle", "info"): 2,
        ("vllm_events_written_total",): 3,
        ("vllm_events_dropped_total", "queue"): 0,
        ("vllm_events_dropped_total", "file"): 0,
        ("vllm_event_file_bytes",): sum(len(line) + 1 for line in lines),
    }


def test_makes_no_file_before_the_first_event(tmp_path: Path) -> None:
    collector, _ = made(str(tmp_path))
    assert shown(collector)["vllm_events_written_total",] == 0
    assert list(tmp_path.iterdir()) == []


def test_counts_what_came_too_fast(tmp_path: Path) -> None:
    collector, context = made(str(tmp_path))
    for number in range(QUEUE + 5):
        context.bus.emit(told.line(f"{number}"))
    values = shown(collector)
    assert values["vllm_events_dropped_total", "queue"] == 5
    assert values["vllm_events_written_total",] == QUEUE


def test_counts_what_cannot_be_written_and_says_so_once(capfd: pytest.CaptureFixture[str]) -> None:
    collector, context = made("", file="/dev/full")
    for _ in range(3):
        context.bus.emit(told.line("x"))
        values = shown(collector)
    assert values["vllm_events_dropped_total", "file"] == 3
    assert values["vllm_events_written_total",] == 0
    assert capfd.readouterr().err.count("events cannot be written") == 1


def test_without_a_directory_it_only_counts() -> None:
    collector, context = made("")
    context.bus.emit(told.line("x"))
    assert shown(collector) == {("vllm_events_total", "log", "info"): 1, ("vllm_events_dropped_total", "queue"): 0}


def test_writes_what_came_last_when_it_ends(tmp_path: Path) -> None:
    collector, context = made(str(tmp_path))
    context.bus.emit(told.changed("the last one"))
    collector.close()
    assert "the last one" in (tmp_path / "events.jsonl").read_text()


@pytest.fixture
def loki() -> Iterator[tuple[str, list[bytes]]]:
    """Takes every push."""
    taken: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        taken.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with closing(Answering(answer)) as server:
        yield f"http://{server.address}", taken


def test_pushes_to_loki_when_it_is_told_where(tmp_path: Path, loki: tuple[str, list[bytes]]) -> None:
    url, taken = loki
    collector, context = made(str(tmp_path), loki_url=url, loki_tenant="team")
    context.bus.emit(told.line("x", "error", server="gpu1:8000"))
    values = shown(collector)
    assert values["vllm_loki_pushes_total", "ok"] == 1
    assert values["vllm_loki_waiting_events",] == 0
    assert taken[0].startswith(b"POST /loki/api/v1/push HTTP/1.1\r\n")
    assert b"X-Scope-OrgID: team\r\n" in taken[0]
    assert b'"stream":{"kind":"log","server":"gpu1:8000"}' in taken[0]


def test_a_loki_that_is_gone_leaves_the_file_alone(tmp_path: Path) -> None:
    collector, context = made(str(tmp_path), loki_url=f"http://127.0.0.1:{free_port()}")
    context.bus.emit(told.line("x", "error"))
    values = shown(collector)
    assert values["vllm_events_written_total",] == 1
    assert values["vllm_loki_pushes_total", "failed"] == 1
    assert values["vllm_loki_waiting_events",] == 1


def test_refuses_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'loki' is not an address; write http://host:port"):
        made(str(tmp_path), loki_url="loki")

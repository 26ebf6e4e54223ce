"""A server's series on a port of its own, where no exporter runs: the sum over its processes."""

from __future__ import annotations

import multiprocessing
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.subjects.inside.snapshot_writer import Line, SnapshotWriter
from tests.monitor.test_general import run
from tests.ports import free_port
from vllm_monitor import own_port
from vllm_monitor.own_port import OwnPort, chosen_port
from vllm_monitor.reading import read_all
from vllm_monitor.text import render

LINES = [
    Line("counter", "vllm_requests_total", (("status", "success"),)),
    Line("histogram", "vllm_request_latency_seconds", (), (0.5, 1.0)),
    Line("max", "vllm_event_loop_lag_seconds"),
    Line("sum", "vllm_requests_in_flight", (("phase", "waiting"),)),
    Line("last", "vllm_engine_step_age_seconds", (("engine", "0"),)),
]


def write(folder: Path, *values: float, port: int = 8000, pid: int | None = None, lines: list[Line] = LINES) -> None:
    """Another process has another PID namespace here, so that only its silence says whether it lives."""
    one = SnapshotWriter(folder, port=port, pid=pid, namespace=None if pid is None else 1)
    one.lines(lines)
    one.write(values, written=time.monotonic())


def samples(text: str) -> dict[str, float]:
    return {
        " ".join([one.name, *one.labels.values()]): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_the_processes_of_a_server_are_added_up(tmp_path: Path) -> None:
    write(tmp_path, 3, 1, 2, 3, 9.5, 0.1, 2, 100.0)
    write(tmp_path, 4, 1, 0, 0, 0.5, 0.3, 1, 90.0, pid=7)
    write(tmp_path, 100, 0, 0, 0, 0, 9.0, 9, 99.0, pid=8, port=8001)
    text = render((one for one in read_all(tmp_path) if one.port == 8000), now=101.0)
    assert samples(text) == {
        "vllm_requests_total success": 7,
        "vllm_request_latency_seconds_bucket 0.5": 2,
        "vllm_request_latency_seconds_bucket 1.0": 4,
        "vllm_request_latency_seconds_bucket +Inf": 7,
        "vllm_request_latency_seconds_sum": 10,
        "vllm_request_latency_seconds_count": 7,
        "vllm_event_loop_lag_seconds": 0.3,
        "vllm_requests_in_flight waiting": 3,
        "vllm_engine_step_age_seconds 0": 1,
    }
    types = {one.name: one.type for one in text_string_to_metric_families(text)}
    assert types["vllm_requests"] == "counter"
    assert types["vllm_request_latency_seconds"] == "histogram"
    assert types["vllm_engine_step_age_seconds"] == "gauge"


def test_a_label_is_quoted(tmp_path: Path) -> None:
    write(tmp_path, 1, lines=[Line("counter", "vllm_requests_total", (("status", 'a "b" \\ c'),))])
    assert samples(render(read_all(tmp_path), 0.0)) == {'vllm_requests_total a "b" \\ c': 1}


@pytest.mark.parametrize("text", [b"", b"VLLMSNAP", b"\xff" * 4096])
def test_other_files_are_left_out(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.snap").write_bytes(text)
    (tmp_path / "link.snap").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.snap")
    write(tmp_path, 3, 1, 2, 3, 9.5, 0.1, 2, 100.0)
    assert len(list(read_all(tmp_path))) == 1


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnPort]:
    one = OwnPort(free_port(), tmp_path, 8000)
    yield one
    one.close()


def get(own: OwnPort, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{own._address[1]}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def test_it_answers_on_loopback(own: OwnPort, tmp_path: Path) -> None:
    write(tmp_path, 3, 1, 2, 3, 9.5, 0.1, 2, 100.0)
    list(own(0.0))
    assert samples(get(own))["vllm_requests_total success"] == 3
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(own, "/")


def test_another_process_takes_the_port_when_the_first_ends(own: OwnPort, tmp_path: Path) -> None:
    second = OwnPort(own._address[1], tmp_path, 8000)
    list(own(0.0))
    list(second(0.0))
    assert second._server is None
    own.close()
    list(second(1.0))
    assert second._server is None  # it tries every five seconds
    list(second(5.0))
    try:
        assert get(second) == ""
    finally:
        second.close()


def test_a_process_that_has_ended_is_not_summed(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=write, args=(tmp_path, 3, 1, 2, 3, 9.5, 0.1, 2, 100.0))
    child.start()
    child.join()
    assert len(list(read_all(tmp_path))) == 1
    assert own_port.page(tmp_path, 8000, time.monotonic()) == ""


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"VLLM_MONITOR_PORT is '{text}': write a port"):
        chosen_port({"VLLM_MONITOR_PORT": text})


def test_an_engine_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[Any] = []
    process: Any = SimpleNamespace(background=SimpleNamespace(add=added.append, folder=Path(), port=8000))
    monkeypatch.setenv("VLLM_MONITOR_PORT", "9401")
    monkeypatch.setattr(own_port, "own_role", lambda: "engine_core")
    own_port.add_own_port(process)
    assert added == []
    monkeypatch.setattr(own_port, "own_role", lambda: "api_server")
    own_port.add_own_port(process)
    assert len(added) == 1


def test_a_server_without_it_loads_no_http_server(tmp_path: Path) -> None:
    code = "import sys; from vllm_monitor.general import load; load(); print('http.server' in sys.modules)"
    assert run(code, tmp_path) == "False\n"
    assert run(code, tmp_path, VLLM_MONITOR_PORT="9401") == "True\n"


def test_without_the_directory_it_says_what_is_missing(tmp_path: Path) -> None:
    code = """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        from vllm_monitor.general import load
        load()
    """
    said = run(code, tmp_path / "absent", VLLM_MONITOR_PORT="9401")
    assert said.startswith("vllm_monitor: VLLM_MONITOR_PORT is set, but ")
    assert said.endswith("make it, or set VLLM_MONITOR_DIR\n")

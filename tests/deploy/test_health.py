"""Waiting for the parts, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.config.targets import Target
from deploy.errors import NativeError
from deploy.native import health, reloading
from deploy.native.health import get, parse_probes, parse_sample, read_server_states, wait_for, wait_until_healthy
from deploy.native.layout import Layout
from deploy.native.programs import Program
from deploy.native.reloading import reload_and_check
from deploy.native.supervisor import Supervisor

EXPORTER = Program("exporter", ("x",), 1855, "/-/ready", {})
LOAD = Program("load", ("x",), 0, "", {})


class FakeTime:
    """Passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeSupervisor(Supervisor):
    """Says what the test wants it to say."""

    def __init__(self, states: Callable[[], dict[str, str]]) -> None:
        self._states = states

    def states(self) -> dict[str, str]:
        return self._states()

    def reload(self, name: str) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(health, "time", fake)
    monkeypatch.setattr(reloading, "time", fake)
    return fake


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "exporter.log").write_text("first\nno such file\n")
    return Layout(tmp_path, tmp_path, tmp_path / ".env")


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], tuple[int, str] | None]) -> None:
    monkeypatch.setattr(health, "get", lambda port, path, password_file=None: answer())


def test_asks_until_the_answer_is_yes(clock: FakeTime) -> None:
    assert wait_for(lambda: clock.now >= 1003.0, 60.0)
    assert clock.now == pytest.approx(1003.0, abs=0.1)


def test_gives_up_when_the_time_is_over(clock: FakeTime) -> None:
    assert not wait_for(lambda: False, 5.0)
    assert clock.now == pytest.approx(1005.0, abs=0.2)


def test_asks_once_when_there_is_no_time(clock: FakeTime) -> None:
    assert wait_for(lambda: True, -1.0)
    assert clock.now == 1000.0


def test_up_ends_when_all_answer_and_supervisord_says_so_too(
    clock: FakeTime, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, lambda: (200, "") if clock.now > 1004 else None)
    supervisor = FakeSupervisor(lambda: {"exporter": "RUNNING" if clock.now > 1006 else "STARTING"})
    wait_until_healthy(layout, supervisor, [EXPORTER, LOAD])  # LOAD has nothing to ask
    assert clock.now == pytest.approx(1006.0, abs=0.2)


def test_a_part_that_was_given_up_is_not_waited_for(
    clock: FakeTime, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, lambda: None)
    with pytest.raises(NativeError) as raised:
        wait_until_healthy(layout, FakeSupervisor(lambda: {"exporter": "FATAL"}), [EXPORTER])
    assert clock.now == 1000.0
    assert str(raised.value) == (
        "exporter (FATAL) does not answer at http://127.0.0.1:1855/-/ready. "
        f"The end of {layout.log('exporter')}:\n  | first\n  | no such file\n"
        "The other parts keep running. Correct the cause and `make up` again, or `make down`."
    )


def test_a_part_that_answers_wrong_for_a_minute_is_a_failure(
    clock: FakeTime, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, lambda: (503, "replaying the log\n"))
    with pytest.raises(NativeError, match=r"exporter \(RUNNING\) answers 503: replaying the log at "):
        wait_until_healthy(layout, FakeSupervisor(lambda: {"exporter": "RUNNING"}), [EXPORTER])
    assert clock.now == pytest.approx(1060.0, abs=0.2)


def test_each_server_is_told_with_what_its_first_probe_found(clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    page = 'vllm_probe_health{server="a:1",result="refused"} 1\n'
    answer_with(monkeypatch, lambda: (200, page) if clock.now > 1002 else None)
    targets = (Target("a:1", "a:1"), Target("b:1", "b:1"))
    assert read_server_states(1855, targets) == {"a:1": "down: connection refused", "b:1": "not probed yet"}
    assert clock.now == pytest.approx(1006.0, abs=0.2)  # b's probe may take that long


def test_the_result_of_each_servers_probe() -> None:
    text = (
        'vllm_probe_health{server="a:1",result="ok"} 0\n'
        'vllm_probe_health{server="a:1",result="refused"} 1\n'
        'vllm_probe_health{server="b:1",result="ok"} 1\n'
    )
    assert parse_probes(text) == {"a:1": "refused", "b:1": "ok"}


def test_a_metric_that_is_not_there_has_no_value() -> None:
    assert parse_sample("other 1\n", "vllm_healer_dry_run") is None


def reloaded(successful: int, when: float) -> tuple[int, str]:
    name = "exporter_config_last_reload_success"
    return 200, f"{name}ful {successful}\n{name}_timestamp_seconds {when}\n"


def test_a_reload_counts_when_the_part_says_so(
    clock: FakeTime, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, lambda: reloaded(1, 1003.0 if clock.now > 1003 else 900.0))
    reload_and_check(layout, FakeSupervisor(dict), EXPORTER)
    assert clock.now == pytest.approx(1003.0, abs=0.2)


def test_a_part_that_keeps_its_old_configuration_is_named_with_its_log(
    clock: FakeTime, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, lambda: reloaded(0, 900.0))
    with pytest.raises(NativeError, match="exporter did not take the new configuration and runs with the old one"):
        reload_and_check(layout, FakeSupervisor(dict), EXPORTER)


def test_a_strangers_listener_is_not_told_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("secret\n")
    told: list[str] = []

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(self.headers.get("Authorization", ""))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("deploy.native.ports.listening_users", lambda port: {65534})
        assert get(server.server_port, "/", tmp_path / "password") is None
        monkeypatch.undo()
        assert get(server.server_port, "/", tmp_path / "password") == (200, "")
        server.shutdown()
    assert told == ["Basic dmxsbS1tb25pdG9yOnNlY3JldA=="]  # vllm-monitor:secret

"""`vllm-healer serve` as a real process: what holds it, what stops it, and what it never tells."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.patience import PATIENCE
from vllm_healer.cli import main
from vllm_healer.clock import SystemClock
from vllm_healer.journal import Journal
from vllm_healer.worker import loop

STOPS_WITHIN = 10.0  # seconds, after which supervisors kill; on an idle machine it takes one

# Stands before the real numpy, if there is one: whoever imports it leaves a trace.
NUMPY = "import pathlib\npathlib.Path(__file__).with_name('imported').touch()\n"


@pytest.fixture(scope="module")
def healer(tmp_path_factory: pytest.TempPathFactory, stage: ModuleType, free_port: Callable[[], int]) -> Iterator[Any]:
    """A running one, in dry run and without targets."""
    folder = tmp_path_factory.mktemp("healer")
    (folder / "trap").mkdir()
    (folder / "trap/numpy.py").write_text(NUMPY)
    running = stage.Healer(folder, free_port(), {"PYTHONPATH": str(folder / "trap")})
    running.configure()
    running.start()
    yield running
    running.kill()


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command of another healer in this process: (exit code, standard output, standard error)."""

    def run(healer: Any, *words: str) -> tuple[int, str, str]:
        code = main([words[0], "--config", str(healer.config), *words[1:]])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_pauses_and_resumes_the_healer_that_runs(healer: Any, command: Command) -> None:
    code, out, _ = command(healer, "pause", "--reason", "upgrading", "--json")
    assert (code, json.loads(out)) == (0, {"state": "paused", "through": f"{healer.folder}/journal.sqlite.sock"})
    assert healer.metric("vllm_healer_paused") == 1
    with healer.journal() as journal:
        assert journal.paused().endswith(": upgrading")
    code, out, _ = command(healer, "resume")
    assert (code, out) == (0, f"resumed through {healer.folder}/journal.sqlite.sock\n")
    assert healer.metric("vllm_healer_paused") == 0


def test_a_new_token_is_taken_while_it_runs_and_pause_needs_none(
    healer: Any, command: Command, stage: ModuleType
) -> None:
    old = stage.TOKEN
    stage.write_secret(healer.folder / "token", "another-horse\n")
    assert healer.post("/alerts", stage.notification(), token="another-horse").status_code == 200
    assert healer.post("/alerts", stage.notification(), token=old).status_code == 401
    stage.write_secret(healer.folder / "token", "")
    assert healer.post("/alerts", stage.notification(), token="another-horse").status_code == 503
    for verb in ("pause", "resume"):
        assert command(healer, verb)[0] == 0
    stage.write_secret(healer.folder / "token", old)
    assert healer.post("/alerts", stage.notification()).status_code == 200


def test_a_wrong_token_pauses_nothing(healer: Any, command: Command, stage: ModuleType, tmp_path: Path) -> None:
    other = stage.Healer(tmp_path, healer.port)
    other.configure()
    stage.write_secret(tmp_path / "token", "wrong-horse")
    code, out, err = command(other, "pause")
    assert (code, out) == (1, "")
    assert f"{healer.url}/pause answered 401" in err
    assert healer.metric("vllm_healer_paused") == 0
    assert not (tmp_path / "journal.sqlite").exists()


def test_a_second_healer_is_told_who_holds_the_journal(
    healer: Any, command: Command, free_port: Callable[[], int]
) -> None:
    code, _, err = command(healer, "serve", "--listen", f"127.0.0.1:{free_port()}")
    assert code == 1
    assert f"journal.sqlite.lock is held by vllm-healer pid {healer.process.pid} on " in err
    assert "only one healer acts at a time" in err
    assert "Traceback" not in err


def test_a_port_in_use_is_named_and_the_journal_is_free_again(healer: Any, stage: ModuleType, tmp_path: Path) -> None:
    other = stage.Healer(tmp_path, healer.port)
    other.configure()
    line = [sys.executable, "-c", stage.MAIN, "serve", "--config", str(other.config)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{healer.port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr
    Journal.open(tmp_path / "journal.sqlite", SystemClock()).close()


def test_pause_finds_a_healer_that_holds_the_journal_elsewhere(
    healer: Any, command: Command, free_port: Callable[[], int]
) -> None:
    """Nobody listens on that address, so it goes to the journal, which is held: said, and not taken for paused."""
    code, _, err = command(healer, "pause", "--listen", f"127.0.0.1:{free_port()}")
    assert code == 1
    assert f"is held by vllm-healer pid {healer.process.pid}" in err


def test_history_can_be_read_while_it_runs(healer: Any, command: Command, stage: ModuleType) -> None:
    body = stage.notification(stage.alert("VllmDown", "gpu 1:8000"))  # a name with a space is a name
    assert healer.post("/alerts", body).json() == {"accepted": 1}
    code, out, _ = command(healer, "history")
    assert code == 0
    assert "VllmDown on gpu 1:8000 fires" in out


def test_ten_thousand_alerts_at_once_leave_it_working(healer: Any, stage: ModuleType) -> None:
    alerts = [stage.alert("VllmDown", f"burst{number}:8000") for number in range(10_000)]
    started = time.monotonic()
    answer = healer.post("/alerts", stage.notification(*alerts))
    assert time.monotonic() - started < 15.0  # what Alertmanager waits; on an idle machine it takes half a second
    assert (answer.status_code, answer.json()["accepted"]) == (200, 10_000)
    assert healer.ready()


def test_imports_no_numpy(healer: Any) -> None:
    assert not (healer.folder / "trap/imported").exists()
    maps = Path(f"/proc/{healer.process.pid}/maps").read_text()
    assert "numpy" not in maps


def test_its_log_never_has_the_token(healer: Any, stage: ModuleType) -> None:
    assert healer.post("/alerts", b"{", token=f"{stage.TOKEN}x").status_code == 401
    assert healer.post("/alerts", b"{").status_code == 400
    assert f"listening on 127.0.0.1:{healer.port}, mode dry_run, targets: none listed" in healer.log()
    assert stage.TOKEN not in healer.log()


def test_stops_in_time_though_a_server_answers_nobody(
    stage: ModuleType, http: ModuleType, server: Any, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Its look is in flight when the signal comes, and would take seconds more."""
    assert loop.STOP_WITHIN <= STOPS_WITHIN / 2  # what it really waits for such a look; here it waits half a second
    stage.prepare(server)
    server.say("/RPC2", http.Reply(hang=True))
    healer = stage.Healer(tmp_path, free_port(), main=stage.HURRIED)
    healer.configure(server.url, targets=stage.TARGET.format(server="gpu1:8000", world=server.url, program="vllm"))
    healer.start()
    stage.wait_for(lambda: "/RPC2" in server.paths(), "the look")
    assert_stops(healer, signal.SIGTERM, stage)


def test_ctrl_c_stops_it_too(stage: ModuleType, tmp_path: Path, free_port: Callable[[], int]) -> None:
    healer = stage.Healer(tmp_path, free_port())
    healer.configure()
    healer.start()
    assert_stops(healer, signal.SIGINT, stage)


def assert_stops(healer: Any, number: signal.Signals, stage: ModuleType) -> None:
    began = time.monotonic()
    assert healer.stop(number) == 0
    assert time.monotonic() - began < STOPS_WITHIN
    assert "stopping; what is unfinished is in the journal" in healer.log()
    assert "Traceback" not in healer.log()
    assert stage.TOKEN not in healer.log()


def test_logs_json_when_told(stage: ModuleType, tmp_path: Path, free_port: Callable[[], int]) -> None:
    healer = stage.Healer(tmp_path, free_port())
    healer.configure()
    healer.start("--json")
    assert healer.stop() == 0
    lines = [json.loads(line) for line in healer.log().splitlines()]
    own = [line for line in lines if line["logger"] == "vllm_healer.app"]
    assert [line["message"].split()[0] for line in own] == ["whoever", "listening", "stopping;"]
    assert [line["level"] for line in own] == ["warning", "info", "info"]  # the first says that one token does it all

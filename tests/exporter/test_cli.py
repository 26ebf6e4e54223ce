from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vllm_exporter import __version__
from vllm_exporter.app import collector_names
from vllm_exporter.cli import main

WAIT = 45.0


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith("VLLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def only_system(tmp_path: Path) -> str:
    """A configuration with two collectors that need nothing but this host."""
    file = tmp_path / "exporter.yml"
    switches = [f"  {name}: {str(name in ('build_info', 'system')).lower()}\n" for name in collector_names()]
    file.write_text("collectors:\n" + "".join(switches))
    return str(file)


def test_once_prints_the_metrics(only_system: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["once", "--config", only_system]) == 0
    assert 'vllm_exporter_collector_success{collector="system"} 1\n' in capsys.readouterr().out


def test_once_prints_json(only_system: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["once", "--json", "--config", only_system]) == 0
    build_info = json.loads(capsys.readouterr().out)[0]
    assert (build_info["collector"], build_info["result"]) == ("build_info", "ok")
    assert build_info["samples"][1] == {"name": "vllm_exporter_targets", "labels": {}, "value": 0.0}


def test_once_tells_states_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, state = tmp_path / "exporter.yml", tmp_path / "state"
    switches = [f"  {name}: {str(name in ('lifecycle', 'probe', 'events')).lower()}\n" for name in collector_names()]
    file.write_text(f"targets: ['127.0.0.1:1']\nstate_dir: {state}\ncollectors:\n" + "".join(switches))
    assert main(["once", "--config", str(file)]) == 0
    server = f"{socket.gethostname()}:1"
    assert f'vllm_lifecycle_state{{server="{server}",state="absent"}} 1\n' in capsys.readouterr().out
    assert not state.exists()


def test_list_prints_each_collector_with_its_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors: {system: false}\n")
    assert main(["list", "--config", str(file)]) == 0
    lines = {line.split()[0]: line.split(maxsplit=5)[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["system"][:4] == ["off", "every", "5", "s"]
    assert lines["build_info"][:4] == ["on", "every", "60", "s"]
    assert lines["build_info"][4] == "The version of the exporter, and the number of its targets."


def test_list_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    assert {"name": "build_info", "enabled": True, "interval_seconds": 60.0}.items() <= json.loads(
        capsys.readouterr().out
    )[0].items()


def test_check_config_prints_what_file_environment_and_flags_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("listen: 127.0.0.1:1\nstale_after: 20\n")
    monkeypatch.setenv("VLLM_TARGETS", "gpu2:8000")
    assert main(["check-config", "--config", str(file), "--listen", "127.0.0.1:2", "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert (merged["listen"], merged["stale_after"], merged["targets"][0]["server"]) == ("127.0.0.1:2", 20, "gpu2:8000")
    assert main(["check-config", "--config", str(file)]) == 0
    assert "listen: 127.0.0.1:1\ntargets:\n- address: gpu2:8000\n" in capsys.readouterr().out


def test_a_bad_configuration_exits_1_with_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors:\n  sytem: true\n")
    assert main(["check-config", "--config", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vllm-exporter: exporter.yml line 2: unknown key 'sytem' in collectors; known: build_info")


def test_check_config_warns_of_what_may_come_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, log = tmp_path / "exporter.yml", tmp_path / "vllm.log"
    file.write_text(f"targets: [localhost:8000]\ncollectors: {{logs: {{sources: ['localhost:8000={log}']}}}}\n")
    assert main(["check-config", "--config", str(file)]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("listen: 127.0.0.1:9855\n")
    assert error == (
        f"warning: collectors.logs.sources: {log} does not exist yet; it is read from its start once it is there; "
        "correct the path if the server's log is elsewhere\n"
    )
    log.touch()
    assert main(["check-config", "--config", str(file)]) == 0
    assert capsys.readouterr().err == ""


def test_check_config_refuses_a_key_that_is_not_there_unless_told_not_to_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, key = tmp_path / "exporter.yml", tmp_path / "key"
    file.write_text(f"targets: [{{address: 'gpu2:8000', api_key_file: {key}}}]\n")
    assert main(["check-config", "--config", str(file)]) == 1
    out, error = capsys.readouterr()
    where = f"targets: gpu2:8000: api_key_file: {key}"
    assert (out, error) == ("", f"error: {where} does not exist; write the key into it, or correct the path\n")
    assert main(["check-config", "--config", str(file), "--syntax-only"]) == 0
    assert capsys.readouterr().err == ""


def test_serve_and_check_config_refuse_a_state_directory_that_others_may_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    file = tmp_path / "exporter.yml"
    file.write_text(f"state_dir: {state}\nlisten: 127.0.0.1:1\n")
    for command in ("serve", "check-config"):
        assert main([command, "--config", str(file)]) == 1
        assert (
            f"state_dir: others may write into {state} (mode 0777); run: chmod go-w {state}" in capsys.readouterr().err
        )
    assert list(state.iterdir()) == []


def test_settings_that_every_user_may_change_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("listen: 127.0.0.1:1\n")
    file.chmod(0o666)
    for command in ("serve", "check-config", "once"):
        assert main([command, "--config", str(file)]) == 1
        assert f"{file} may be written by every user (mode 0666); run: chmod o-w {file}" in capsys.readouterr().err


def test_serve_and_check_config_refuse_a_key_that_every_user_may_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text("k\n")
    key.chmod(0o644)
    file = tmp_path / "exporter.yml"
    file.write_text(f"state_dir: {tmp_path}/state\ntargets:\n- address: localhost:8000\n  api_key_file: {key}\n")
    for command in ("serve", "check-config"):
        assert main([command, "--config", str(file), "--listen", "127.0.0.1:1"]) == 1
        assert f"{key} is open to every user (mode 0644); run: chmod 600 {key}" in capsys.readouterr().err
    key.chmod(0o600)
    assert main(["check-config", "--config", str(file)]) == 0


def test_check_config_does_not_look_for_what_a_collector_that_is_off_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors: {inside: {enabled: false, directory: /not/there}}\n")
    assert main(["check-config", "--config", str(file)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sevre"],
        ["serve", "--port", "1"],
        ["serve", "--listen", "9855"],
        *(["hang-report", "--seconds", bad] for bad in ("nan", "inf", "-3", "0", "1e9", "ten")),
    ],
)
def test_wrong_use_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: vllm-exporter" in capsys.readouterr().err


def test_a_port_in_use_exits_1_with_the_fix(only_system: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--config", only_system, "--listen", f"127.0.0.1:{port}"]) == 1
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use; stop its user" in capsys.readouterr().err


@contextmanager
def serving(config: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """`vllm-exporter serve` as a process of its own, killed at the end if it still runs."""
    command = [sys.executable, "-m", "vllm_exporter.cli", "serve", "--config", config, "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_what_it_watches_answers_and_ends_on_a_signal(
    only_system: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_TARGETS", "gpu2:8000")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(only_system, port) as process:
        assert process.stderr is not None
        start = process.stderr.readline()
        assert f'msg="vllm-exporter started" version={__version__} listen=127.0.0.1:{port} watches=gpu2:8000' in start
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT) as reply:
            assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        process.send_signal(number)
        assert process.wait(WAIT) == 0
        assert 'msg="vllm-exporter stopped"' in process.stderr.read()

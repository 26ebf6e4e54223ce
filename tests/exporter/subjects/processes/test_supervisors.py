"""How a process ended, by the word of supervisord and systemd."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exporter.fake_unix_server import unix_server
from tests.patience import wait_for
from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.processes.exits import UNKNOWN_SIGNAL
from vllm_exporter.subjects.processes.supervisors import Program, ask_systemd, list_programs, parse_programs, parse_unit


def process(name: str, pid: int, state: str, exitstatus: int) -> str:
    """As supervisord 4.2 writes it."""
    return (
        "<value><struct>\n"
        f"<member>\n<name>name</name>\n<value><string>{name}</string></value>\n</member>\n"
        "<member>\n<name>group</name>\n<value><string>fleet</string></value>\n</member>\n"
        "<member>\n<name>spawnerr</name>\n<value><string></string></value>\n</member>\n"
        f"<member>\n<name>statename</name>\n<value><string>{state}</string></value>\n</member>\n"
        f"<member>\n<name>exitstatus</name>\n<value><int>{exitstatus}</int></value>\n</member>\n"
        f"<member>\n<name>pid</name>\n<value><int>{pid}</int></value>\n</member>\n"
        "</struct></value>"
    )


def answer(*processes: str) -> bytes:
    body = "".join(processes)
    value = f"<value><array><data>{body}</data></array></value>"
    return f"<?xml version='1.0'?>\n<methodResponse><params><param>{value}</param></params></methodResponse>".encode()


def test_reads_programs_that_run_and_that_ended() -> None:
    found = parse_programs(
        answer(
            process("a", 4711, "RUNNING", 0),
            process("b", 0, "EXITED", 3),
            process("c", 0, "BACKOFF", -1),
            process("d", 0, "STARTING", 0),
        )
    )
    assert found == {
        "fleet:a": Program(4711, None),
        "fleet:b": Program(0, 3 * 256),
        "fleet:c": Program(0, UNKNOWN_SIGNAL),
        "fleet:d": Program(0, None),
    }
    assert parse_programs(answer()) == {}


@pytest.mark.parametrize("body", [b"", b"<html>", b"<methodResponse><fault><value></value></fault></methodResponse>"])
def test_refuses_what_is_no_answer_of_supervisord(body: bytes) -> None:
    with pytest.raises(SourceError, match="supervisord answered"):
        parse_programs(body)


def test_asks_over_the_socket(tmp_path: Path) -> None:
    body = answer(process("vllm", 0, "FATAL", 1))
    with unix_server(tmp_path / "s.sock", {"POST /RPC2": (200, body)}):
        assert list_programs(f"unix://{tmp_path}/s.sock") == {"fleet:vllm": Program(0, 256)}
    with unix_server(tmp_path / "t.sock", {"POST /RPC2": (401, b"")}), pytest.raises(SourceError, match="401"):
        list_programs(str(tmp_path / "t.sock"))


CONFIG = """\
[supervisord]
nodaemon=true
logfile={folder}/log
pidfile={folder}/pid
childlogdir={folder}
[unix_http_server]
file={folder}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:ends]
command=sh -c "exit 3"
startsecs=0
autorestart=false
[program:runs]
command=sleep 60
"""


@pytest.mark.real
def test_asks_a_real_supervisord(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text(CONFIG.format(folder=tmp_path))
    daemon = subprocess.Popen([sys.executable, "-m", "supervisor.supervisord", "-c", str(tmp_path / "conf")])
    found: dict[str, Program] = {}
    try:
        wait_for((tmp_path / "s.sock").exists)
        wait_for(lambda: list_programs(str(tmp_path / "s.sock")).get("ends:ends") == Program(0, 3 * 256), pause=0.05)
        found = list_programs(str(tmp_path / "s.sock"))
        assert found["ends:ends"] == Program(0, 3 * 256)
        assert found["runs:runs"].pid > 0
    finally:  # at once: in its own shutdown supervisord waits for its programs
        daemon.kill()
        daemon.wait()
        if "runs:runs" in found:
            os.kill(found["runs:runs"].pid, signal.SIGKILL)


def test_reads_how_a_service_ended_if_it_was_this_process() -> None:
    def unit(pid: int, code: int, status: int) -> str:
        return f"ExecMainPID={pid}\nExecMainCode={code}\nExecMainStatus={status}\n"

    assert parse_unit(unit(42, 1, 3), 42) == 3 * 256
    assert parse_unit(unit(42, 2, 9), 42) == 9
    assert parse_unit(unit(42, 3, 6), 42) == 6 | 0x80
    assert parse_unit(unit(42, 0, 0), 42) is None
    assert parse_unit(unit(43, 1, 3), 42) is None
    assert parse_unit("", 42) is None


def test_a_host_without_systemd_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"systemctl show vllm\.service"):
        ask_systemd("vllm.service", 42)


def test_asks_systemctl_for_three_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sh = shutil.which("sh")
    script = (
        f'#!{sh}\n[ "$4" = vllm.service ] && echo ExecMainPID=42 && echo ExecMainCode=2 && echo ExecMainStatus=11\n'
    )
    (tmp_path / "systemctl").write_text(script)
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_systemd("vllm.service", 42) == 11

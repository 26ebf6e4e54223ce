"""The command line, in this process: answers, exit codes and words."""

from __future__ import annotations

import getpass
import json
import socket
import subprocess
import sys
import threading
import xmlrpc.client
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.patience import PATIENCE
from vllm_healer import unix_socket
from vllm_healer.actuators import listeners
from vllm_healer.cli import main
from vllm_healer.cli.main import COMMANDS
from vllm_healer.clock import SystemClock
from vllm_healer.journal import Journal
from vllm_healer.model import Refusal

SERVER = "gpu1:8000"
EXITED = {"state": 100, "statename": "EXITED", "pid": 0, "start": 10, "stop": 20, "now": 900, "spawnerr": ""}


@dataclass
class Shell:
    """Runs commands on the configuration in `folder`; nothing serves there."""

    healer: Any
    capture: pytest.CaptureFixture[str]

    @property
    def folder(self) -> Path:
        return Path(self.healer.folder)

    def run(self, *words: str) -> tuple[int, str, str]:
        """(exit code, standard output, standard error)"""
        code = main([words[0], "--config", str(self.healer.config), *words[1:]])
        out, err = self.capture.readouterr()
        return code, out, err

    def make_journal(self) -> None:
        """An empty one."""
        with self.journal():
            pass

    def journal(self) -> closing[Journal]:
        return closing(Journal.open(self.folder / "journal.sqlite", SystemClock()))


@pytest.fixture
def shell(
    tmp_path: Path,
    stage: ModuleType,
    free_port: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    for variable in ("MODE", "LISTEN", "TOKEN_FILE", "JOURNAL", "PROMETHEUS_URL", "ALERTMANAGER_URL"):
        monkeypatch.delenv(f"VLLM_HEALER_{variable}", raising=False)
    healer = stage.Healer(tmp_path, free_port())
    healer.configure()
    return Shell(healer, capsys)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["restart"],
        ["history", "--limit", "0"],
        ["history", "--limit", "-1"],
        ["history", "--limit", "all"],
        ["explain"],
        ["explain", "two"],
        ["explain", "-1"],
        ["simulate"],
        ["serve", "--now"],
    ],
)
def test_wrong_use_is_2_and_shows_the_use(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: vllm-healer")


def test_the_help_names_each_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert [command for command in COMMANDS if f"\n    {command}" not in told] == []
    assert "0 done, 1 failed (the reason is on standard error), 2 wrong use" in told


def test_pause_by_the_socket_waits_for_no_large_library() -> None:
    """On a machine that is busy with a storm they would take a second."""
    code = "import sys, vllm_healer.cli.control; print(sorted({'sqlalchemy', 'flask', 'requests'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert ended.stdout == "[]\n"


def test_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out.split()[0]) == (0, "vllm-healer")


@pytest.mark.parametrize(
    "command", sorted(set(COMMANDS) - {"approve", "backup", "explain", "maintenance", "refuse", "simulate"})
)
def test_a_configuration_that_is_not_there_is_1(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--config", "/nowhere/healer.yml"]) == 1
    captured = capsys.readouterr()
    assert (
        captured.err == "vllm-healer: /nowhere/healer.yml: cannot be read: No such file or directory; check --config\n"
    )
    assert captured.out == ""


def test_an_unknown_key_is_named_with_its_line_and_the_known_ones(shell: Shell) -> None:
    shell.healer.config.write_text("mode: act\nlimits:\n  budget: 7\n")
    code, _, err = shell.run("check-config")
    assert code == 1
    assert err.startswith(
        "vllm-healer: healer.yml line 3: unknown key 'budget' in limits; known: approval, blast_radius_percent, "
    )


def test_check_config_prints_what_takes_effect(shell: Shell) -> None:
    code, out, _ = shell.run("check-config", "--listen", "127.0.0.1:1234")
    assert code == 0
    assert "mode: dry_run" in out.splitlines()
    assert "listen: 127.0.0.1:1234" in out.splitlines()


def test_check_config_tells_each_server_that_is_only_watched_or_only_listed(shell: Shell) -> None:
    targets = "targets: [{server: 'b:1', actuator: dry_run}]\n"
    shell.healer.config.write_text(f"mode: dry_run\nwatched: [a:1, b:1]\n{targets}")
    assert shell.run("check-config")[::2] == (
        0,
        "warning: a:1 is watched and not in targets: failures there are only reported; list it to have it healed\n",
    )
    shell.healer.config.write_text(f"mode: dry_run\nwatched: [b:1]\n{targets}")
    assert shell.run("check-config")[::2] == (0, "")


def test_check_config_prints_json(shell: Shell) -> None:
    code, out, _ = shell.run("check-config", "--json")
    printed = json.loads(out)
    assert (code, printed["mode"], printed["limits"]["budget_per_hour"]) == (0, "dry_run", 6)


def test_check_config_prints_no_token(shell: Shell, stage: ModuleType) -> None:
    for form in ((), ("--json",)):
        assert stage.TOKEN not in shell.run("check-config", *form)[1]


@pytest.mark.parametrize("command", [["history"], ["explain", "1"]])
def test_reading_a_journal_that_is_not_there_makes_none(shell: Shell, command: list[str]) -> None:
    code, out, err = shell.run(*command)
    assert (code, out) == (1, "")
    assert f"there is no journal {shell.folder}/journal.sqlite; run `vllm-healer serve` first" in err
    assert not (shell.folder / "journal.sqlite").exists()


def test_history_is_the_newest_sentences_oldest_first(shell: Shell, cases: ModuleType) -> None:
    with shell.journal() as journal:
        for words in ("one", "two", "three"):
            journal.note(None, "note", words, cases.NOW)
    code, out, _ = shell.run("history", "--limit", "2")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()] == ["two", "three"]


def test_history_as_json_has_everything(shell: Shell, cases: ModuleType) -> None:
    with shell.journal() as journal:
        journal.note(None, "note", "looked", cases.NOW, {"seen": 3})
    code, out, _ = shell.run("history", "--json")
    assert code == 0
    assert json.loads(out) == [
        {"id": 1, "time": 1_700_000_000.0, "incident": None, "kind": "note", "words": "looked", "data": {"seen": 3}}
    ]


def test_history_of_an_empty_journal_is_an_empty_list(shell: Shell) -> None:
    shell.make_journal()
    assert shell.run("history") == (0, "", "")
    assert shell.run("history", "--json") == (0, "[]\n", "")


def test_explains_one_incident_and_no_other(shell: Shell, cases: ModuleType) -> None:
    with shell.journal() as journal:
        journal.open_incident(SERVER, [], cases.NOW, "it hangs")
        journal.open_incident("gpu2:8000", [], cases.NOW, "it is gone")
    code, out, _ = shell.run("explain", "1")
    assert code == 0
    assert "#1  incident   it hangs" in out
    assert "it is gone" not in out
    assert [entry["words"] for entry in json.loads(shell.run("explain", "2", "--json")[1])] == ["it is gone"]


def test_copies_the_journal_once(shell: Shell) -> None:
    shell.make_journal()
    copy = shell.folder / "copy.sqlite"
    code, out, _ = shell.run("backup", str(copy), "--json")
    assert (code, json.loads(out)["bytes"]) == (0, copy.stat().st_size)
    assert shell.run("history", "--journal", str(copy))[0] == 0
    code, out, err = shell.run("backup", str(copy))
    assert (code, out) == (1, "")
    assert err == f"vllm-healer: {copy} exists and is not overwritten; give another name, or remove it first\n"


def test_an_unknown_incident_is_1_and_says_where_the_known_are(shell: Shell) -> None:
    shell.make_journal()
    code, out, err = shell.run("explain", "7", "--json")
    assert (code, out) == (1, "")
    assert err.startswith("vllm-healer: no incident 7 in ")
    assert "`vllm-healer history` shows the known ones" in err


def test_another_journal_can_be_read(shell: Shell, tmp_path: Path, cases: ModuleType) -> None:
    other = tmp_path / "other.sqlite"
    with closing(Journal.open(other, SystemClock())) as journal:
        journal.note(None, "note", "elsewhere", cases.NOW)
    code, out, _ = shell.run("history", "--journal", str(other))
    assert (code, out.split()[-1]) == (0, "elsewhere")


def test_pauses_in_the_journal_when_no_healer_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    code, out, _ = shell.run("pause", "--reason", "upgrading the driver")
    assert (code, out) == (0, f"paused through {shell.folder}/journal.sqlite\n")
    with shell.journal() as journal:
        assert journal.paused() == "anna: upgrading the driver"
    code, out, _ = shell.run("resume", "--json")
    assert (code, json.loads(out)) == (0, {"state": "resumed", "through": f"{shell.folder}/journal.sqlite"})
    with shell.journal() as journal:
        assert journal.paused() == ""


def test_answers_an_approval_in_the_journal_when_no_healer_runs(
    shell: Shell, cases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    clock = SystemClock()
    with closing(Journal.open(shell.folder / "journal.sqlite", clock)) as journal:
        incident = journal.open_incident(cases.SERVER, [], clock.now(), "stalled")
        plan = cases.plan(incident=incident.id)
        journal.reserve(plan, clock.now(), lambda ledger: Refusal("approval", "it needs approval"))
    assert shell.run("approve", "1", "--reason", "seen")[:2] == (0, f"approved through {shell.folder}/journal.sqlite\n")
    code, _, err = shell.run("refuse", "1")
    assert (code, err) == (1, "vllm-healer: approval 1 was approved already: anna: seen\n")
    assert "there is no approval 9" in shell.run("approve", "9")[2]


def test_begins_and_ends_maintenance_in_the_journal_when_no_healer_runs(
    shell: Shell, cases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    where = f"through {shell.folder}/journal.sqlite\n"
    started = shell.run("maintenance", "start", "--for", "90m", "--reason", "new driver")
    assert started[:2] == (0, f"maintenance of all started {where}")
    with shell.journal() as journal:
        (found,) = journal.ledger(cases.plan()).maintenance
        assert (found.about, found.seconds, found.words) == ("all", 5400.0, "anna: new driver")
    assert shell.run("maintenance", "end")[:2] == (0, f"maintenance of all ended {where}")
    with shell.journal() as journal:
        assert journal.ledger(cases.plan()).maintenance == ()


def test_maintenance_of_what_is_not_listed_is_an_error(shell: Shell) -> None:
    code, _, err = shell.run("maintenance", "start", "--pool", "chatt")
    assert (code, err) == (1, "vllm-healer: pool 'chatt' is not in healer.yml; known: none\n")


@pytest.mark.parametrize("time", ["2", "h", "-1h", "31d", "0m", "1.5h"])
def test_a_time_that_is_none_is_wrong_use(shell: Shell, time: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["maintenance", "start", f"--for={time}"])
    assert ended.value.code == 2
    assert "is no time up to 30d; write 90m, 2h or 3d" in capsys.readouterr().err


def test_a_user_without_a_name_can_pause(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 1234)
    assert shell.run("pause")[0] == 0
    with shell.journal() as journal:
        assert journal.paused() == "user 1234: no reason given"


def test_pause_does_not_take_another_programs_answer_for_a_healers(shell: Shell, server: Any) -> None:
    code, out, err = shell.run("pause", "--listen", server.url.removeprefix("http://"))
    assert (code, out) == (1, "")
    assert "/pause answered 404" in err
    assert not (shell.folder / "journal.sqlite").exists()


def test_what_another_program_answers_is_shown_without_terminal_codes(
    shell: Shell, server: Any, http: ModuleType
) -> None:
    server.say("/pause", http.Reply(500, b"\x1b[2Jforged\x07\nvllm-healer: paused \xe2\x80\xae" + b"x" * 5000))
    code, out, err = shell.run("pause", "--listen", server.url.removeprefix("http://"))
    assert (code, out) == (1, "")
    assert "/pause answered 500: [2Jforged vllm-healer: paused" in err
    assert err.strip().isprintable()
    assert len(err) < 350


def test_a_journal_that_no_healer_holds_is_written_whoever_has_taken_its_port(
    shell: Shell, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.make_journal()
    monkeypatch.setenv("VLLM_HEALER_LISTEN", server.url.removeprefix("http://"))
    code, out, _ = shell.run("pause")
    assert (code, out) == (0, f"paused through {shell.folder}/journal.sqlite\n")
    assert server.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0"])
def test_a_user_who_has_no_healer_gets_no_token_on_its_port(
    shell: Shell, server: Any, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(listeners, "port_uids", lambda port, proc: frozenset({4321}))
    port = server.url.rpartition(":")[2]
    code, out, err = shell.run("pause", "--listen", f"{host}:{port}")
    assert (code, out) == (1, "")
    assert f"user 4321 listens on {host}:{port}" in err
    assert "the token was not sent" in err
    assert server.requests == []


def test_a_socket_that_a_killed_healer_left_is_nobody(shell: Shell) -> None:
    unix_socket.listen(shell.folder / "journal.sqlite.sock").close()
    code, out, _ = shell.run("pause")
    assert (code, out) == (0, f"paused through {shell.folder}/journal.sqlite\n")


def test_a_healer_that_could_not_pause_is_not_taken_for_paused(shell: Shell) -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as lines:
            assert json.loads(lines.readline())["verb"] == "pause"
            lines.write(b'{"error": "journal /j: its disk is full"}\n')

    with unix_socket.listen(shell.folder / "journal.sqlite.sock") as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        code, out, err = shell.run("pause")
        thread.join()
    assert (code, out) == (1, "")
    assert err == f"vllm-healer: {shell.folder}/journal.sqlite.sock: journal /j: its disk is full\n"


@pytest.mark.parametrize("command", ["serve", "pause", "resume"])
def test_a_token_file_that_is_missing_empty_or_open_is_1(shell: Shell, stage: ModuleType, command: str) -> None:
    token = shell.folder / "token"
    token.unlink()
    assert_refused(shell, command, "token: No such file or directory; create it, or remove the setting")
    stage.write_secret(token, "\n")
    assert_refused(shell, command, "token is empty; write a token: openssl rand -hex 32")
    stage.write_secret(token, stage.TOKEN, mode=0o644)
    assert_refused(shell, command, f"token is open to every user (mode 0644); run: chmod 600 {token}")
    assert not (shell.folder / "journal.sqlite").exists()


def assert_refused(shell: Shell, command: str, words: str) -> None:
    code, out, err = shell.run(command)
    assert (code, out) == (1, "")
    assert words in err
    assert "correct-horse" not in err


@pytest.mark.parametrize("command", ["serve", "pause"])
def test_without_a_token_file_it_says_that_it_needs_one(shell: Shell, command: str) -> None:
    shell.healer.config.write_text(f"listen: 127.0.0.1:{shell.healer.port}\njournal: journal.sqlite\n")
    assert_refused(shell, command, "token_file is not set")


def supervisor_says(answers: dict[str, Any], http: ModuleType) -> Callable[[Any], Any]:
    """A supervisord that answers each method with one value."""

    def reply(asked: Any) -> Any:
        _, method = xmlrpc.client.loads(asked.body)
        answer = answers[str(method).removeprefix("supervisor.")]
        return http.Reply(200, xmlrpc.client.dumps((answer,), methodresponse=True).encode())

    return reply


@pytest.fixture
def world(shell: Shell, server: Any, stage: ModuleType, http: ModuleType) -> Any:
    """One listed server that ended; everybody says so, and the healer has seen it ready before."""
    stage.prepare(server, stage.alert("VllmDown", SERVER, healable="true"))
    server.say("/health", http.Reply(503))
    server.say_json("/version", {"version": "0.32.0"})
    answers = {"getProcessInfo": EXITED, "getPID": 1, "getAllConfigInfo": []}
    server.hooks["/RPC2"] = supervisor_says(answers, http)
    targets = stage.TARGET.format(server=SERVER, world=server.url, program="vllm")
    shell.healer.configure(server.url, mode="act", targets=targets)
    with shell.journal() as journal:
        journal.remember(SERVER, "boot-a/4711/99000", True, (), SystemClock().now())
    return server


def payload(shell: Shell, body: bytes) -> str:
    path = shell.folder / "payload.json"
    path.write_bytes(body)
    return str(path)


def test_simulates_what_would_be_done_and_does_nothing(shell: Shell, world: Any, stage: ModuleType) -> None:
    body = stage.notification(stage.alert("VllmDown", SERVER, healable="true"))
    code, out, _ = shell.run("simulate", payload(shell, body))
    assert code == 0
    assert out == (
        f"{SERVER}: engine_dead: /health is 503 and the supervisor says exited (ruled out: orphans, start_hung)\n"
        "  -> would run restart_engine now: restart the engine: /health is 503 and the supervisor says exited\n"
    )
    asked = b"".join(request.body for request in world.requests)
    assert b"startProcess" not in asked
    assert b"stopProcess" not in asked
    assert shell.run("history") == (0, "", "")


def test_simulates_a_refusal_with_its_reason(shell: Shell, world: Any, stage: ModuleType) -> None:
    world.say_json("/api/v2/alerts", stage.active())  # it fires no more
    body = stage.notification(stage.alert("VllmDown", SERVER, healable="true"))
    code, out, _ = shell.run("simulate", payload(shell, body), "--json")
    (outcome,) = json.loads(out)
    assert code == 0
    assert (outcome["diagnosis"]["cause"], outcome["plan"]["remediation"]) == ("engine_dead", "restart_engine")
    assert outcome["refusal"]["reason"] == "not_firing"


def test_simulates_that_prometheus_is_down(shell: Shell, world: Any, stage: ModuleType, free_port: Any) -> None:
    policy = shell.healer.config.read_text()
    policy = policy.replace(f"prometheus_url: {world.url}", f"prometheus_url: http://127.0.0.1:{free_port()}")
    shell.healer.config.write_text(policy)
    body = stage.notification(stage.alert("VllmDown", SERVER, healable="true"))
    code, out, _ = shell.run("simulate", payload(shell, body))
    assert code == 0
    assert "  -> would not run restart_engine: blind: did not answer: Prometheus: Prometheus at http://" in out


def test_simulates_that_a_server_is_not_listed(shell: Shell, world: Any, stage: ModuleType) -> None:
    code, out, _ = shell.run("simulate", payload(shell, stage.notification(stage.alert("VllmDown", "gpu 9:8000"))))
    assert code == 0
    assert out.startswith(f"gpu 9:8000: unknown: gpu 9:8000 is not listed in healer.yml (targets: {SERVER})")
    assert "  -> notify_only: " in out
    assert world.requests == []


def test_simulates_nothing_when_nothing_fires(shell: Shell, world: Any, stage: ModuleType) -> None:
    path = payload(shell, stage.notification(stage.alert("VllmDown", SERVER, status="resolved")))
    assert shell.run("simulate", path) == (0, "no alert fires in it: nothing to do\n", "")
    assert shell.run("simulate", path, "--json") == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b'{"version": "3", "alerts": []}', "'version' is '3'; this healer reads version '4'"),
    ],
)
def test_simulate_says_what_is_wrong_with_a_payload(shell: Shell, body: bytes, words: str) -> None:
    shell.make_journal()
    code, out, err = shell.run("simulate", payload(shell, body))
    assert (code, out) == (1, "")
    assert words in err


def test_simulate_says_which_payload_is_not_there(shell: Shell) -> None:
    shell.make_journal()
    assert shell.run("simulate", "/nowhere.json") == (1, "", "vllm-healer: /nowhere.json: No such file or directory\n")

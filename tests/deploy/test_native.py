"""What `up` and `status` decide and say, without starting anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.config.settings import Settings
from deploy.config.targets import Target
from deploy.errors import NativeError
from deploy.native.environment import choose_environment
from deploy.native.layout import Layout, check_owner, last_lines
from deploy.native.leftovers import find_leftovers, stop_leftovers
from deploy.native.programs import Program, digest
from deploy.native.reloading import choose_reloads, config_digests
from deploy.native.status import render_table, words
from deploy.native.supervisor import Applied, ProcessState, parse_process
from deploy.native.up import check_source, describe

URL = "unix:///tmp/test-of-leftovers/supervisor.sock"


@pytest.fixture
def prometheus(tmp_path: Path) -> Program:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.rules.yml").write_text("groups: []\n")
    return Program("prometheus", ("prometheus",), 1090, "/-/ready", {}, reloads=tmp_path)


@pytest.fixture
def marked() -> Iterator[subprocess.Popen[bytes]]:
    """A process as supervisord starts them. Nobody waits for its end: the test kills it."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, env={"SUPERVISOR_SERVER_URL": URL}) as process:
        yield process
        process.kill()


def test_an_unchanged_configuration_is_not_reloaded(prometheus: Program) -> None:
    assert choose_reloads((prometheus,), config_digests([prometheus]), ()) == ()


def test_a_changed_rule_is_reloaded(prometheus: Program, tmp_path: Path) -> None:
    before = config_digests([prometheus])
    (tmp_path / "rules" / "a.rules.yml").write_text("groups: [] # new\n")
    assert choose_reloads((prometheus,), before, ()) == (prometheus,)


def test_a_restarted_part_has_read_its_configuration(prometheus: Program) -> None:
    assert choose_reloads((prometheus,), {}, ["prometheus"]) == ()


def test_a_part_that_restarts_on_change_is_not_reloaded() -> None:
    assert choose_reloads((Program("exporter", ("x",), 1855, "/", {}),), {}, ()) == ()


def test_the_digest_follows_the_code_and_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "notes.txt").write_text("1")
    first = digest(tmp_path)
    (tmp_path / "notes.txt").write_text("2")
    assert digest(tmp_path) == first
    (tmp_path / "a.py").write_text("2")
    assert digest(tmp_path) != first


def test_says_what_was_done_to_what_ran() -> None:
    assert describe(Applied((), ("exporter",), ()), (), ("prometheus",)) == (
        "was up already: restarted exporter; reloaded prometheus"
    )


def test_says_that_nothing_changed() -> None:
    assert describe(Applied((), (), ()), (), ()) == "was up already: nothing changed"


def test_settings_do_not_reach_the_parts_through_the_shell() -> None:
    assert choose_environment({"PATH": "/bin", "VLLM_TARGETS": "a:1"}) == {"PATH": "/bin"}


def test_tokens_of_the_shell_stay_in_it_and_proxies_and_languages_come_along() -> None:
    wanted = {"PATH": "/bin", "HTTPS_PROXY": "http://p:1", "LC_ALL": "C.UTF-8", "GOMEMLIMIT": "1GiB"}
    secret = {
        "HF_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "GITHUB_TOKEN": "x",
        "SSH_AUTH_SOCK": "/x",
        "PYTHONPATH": "/x",
    }
    assert choose_environment({**wanted, **secret}) == wanted


def check_exporter(root: Path, text: str, settings: Settings | None = None) -> None:
    (root / "exporter.yml").write_text(text)
    check_source(Layout(root, root / ".run", root / ".env"), "exporter", settings or Settings())


def test_a_log_may_be_of_a_server_that_only_vllm_targets_names_or_of_the_default(tmp_path: Path) -> None:
    text = "{}collectors: {{logs: {{sources: ['gpu9:8000=journald:vllm.service']}}}}\n"
    named = Settings(targets=(Target("gpu9:8000", "gpu9:8000"),))
    check_exporter(tmp_path, text.format("targets: [localhost:8000]\n"), named)
    with pytest.raises(NativeError, match=r"line 2: .*no target 'gpu9:8000'; known: localhost:8000"):
        check_exporter(tmp_path, text.format("targets: [localhost:8000]\n"))
    with pytest.raises(NativeError, match=r"line 1: .*no target 'gpu9:8000'; known: localhost:8000"):
        check_exporter(tmp_path, text.format(""))


def test_relative_paths_begin_where_the_file_is_and_warnings_are_passed_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "targets: [{address: 'a:1', api_key_file: key}]\ncollectors: {inside: {directory: /not/there}}\n"
    with pytest.raises(NativeError, match=f"error: targets: a:1: api_key_file: {tmp_path}/key does not exist"):
        check_exporter(tmp_path, text)
    (tmp_path / "key").write_text("k\n")
    (tmp_path / "key").chmod(0o600)
    check_exporter(tmp_path, text)
    assert capfd.readouterr().err.startswith("warning: collectors.inside.directory: /not/there does not exist yet;")


def test_the_table_of_parts() -> None:
    running = ProcessState("exporter", "RUNNING", 12, 3723.0, "")
    failed = ProcessState("healer", "FATAL", 0, 0.0, "")
    assert render_table((running, failed), {"exporter": "http://127.0.0.1:9855"}) == (
        "PART          STATE     PID      UPTIME      ADDRESS\n"
        "exporter      RUNNING   12       1 h 2 min   http://127.0.0.1:9855\n"
        "healer        FATAL     -        -           -\n"
        "healer does not run: `make logs PART=healer` shows why, `make up` starts it again"
    )


def test_a_part_that_could_not_be_spawned_is_told_with_the_reason() -> None:
    gone = ProcessState("healer", "FATAL", 0, 0.0, "can't find command '/venv/bin/vllm-healer'")
    assert render_table((gone,), {}).endswith(
        "healer does not run (can't find command '/venv/bin/vllm-healer'): "
        "`make logs PART=healer` shows why, `make up` starts it again"
    )


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "-"), (59, "59 s"), (302, "5 min 2 s"), (273600, "3 d 4 h")])
def test_uptime_in_words(seconds: float, said: str) -> None:
    assert words(seconds) == said


def test_a_stopped_process_has_no_uptime() -> None:
    info: dict[str, object] = {
        "name": "healer",
        "statename": "EXITED",
        "pid": 0,
        "now": 100,
        "start": 40,
        "spawnerr": "",
    }
    assert parse_process(info) == ProcessState("healer", "EXITED", 0, 0.0, "")


def test_the_end_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("1\n2\n3\n")
    assert last_lines(tmp_path / "x.log", 2) == ["2", "3"]
    assert last_lines(tmp_path / "none.log", 2) == []


def test_finds_and_stops_what_a_killed_supervisord_left(marked: subprocess.Popen[bytes]) -> None:
    leftovers = find_leftovers(URL)
    assert [process.pid for process in leftovers] == [marked.pid]
    stop_leftovers(leftovers)
    assert find_leftovers(URL) == []


def test_what_is_supervised_is_not_left_over(marked: subprocess.Popen[bytes]) -> None:
    assert find_leftovers(URL, {marked.pid}) == []


def test_another_checkouts_parts_are_not_ours(marked: subprocess.Popen[bytes]) -> None:
    assert find_leftovers(URL + "2", set()) == []


def test_a_run_directory_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    with pytest.raises(NativeError, match="/sys belongs to user root: do this as root"):
        check_owner(Path("/sys"))


def test_ones_own_run_directory_is_fine(tmp_path: Path) -> None:
    check_owner(tmp_path)
    check_owner(tmp_path / "not-there-yet")

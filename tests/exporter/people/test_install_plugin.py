"""`vllm-exporter install-plugin`: what would load into a server's environment, and why not."""

from __future__ import annotations

import json
import os
import sys
import venv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exporter.fake_proc import FakeProc
from tests.exporter.subjects.inside.snapshot_writer import SnapshotWriter
from vllm_exporter.cli import main
from vllm_exporter.errors import SourceError
from vllm_exporter.linux.pythons import Account, PythonEnvironment, look_at, owner_of, pip_install
from vllm_exporter.people.plugin import report
from vllm_exporter.people.plugin.check import PluginCheck, check_environment, check_server
from vllm_exporter.people.plugin.report import Place, Report, choose_places, choose_source, install
from vllm_exporter.people.plugin.servers import RunningServer, choose_python, find_servers

GOOD = PythonEnvironment(
    (3, 12, 4),
    "0.32.0+cpu",
    "0.1.0",
    frozenset(["vllm.general_plugins", "vllm.stat_logger_plugins"]),
    package=True,
    pip=True,
)


def verdicts(found: object) -> dict[str, str]:
    assert isinstance(found, list)
    return {one.check: one.verdict for one in found}


def words(found: list[PluginCheck], check: str) -> str:
    return next(one.words for one in found if one.check == check)


# What is installed


def environment(**changes: object) -> list[PluginCheck]:
    return list(check_environment("/opt/vllm/bin/python", replace(GOOD, **changes), "INSTALL"))  # type: ignore[arg-type]


def test_a_good_environment_is_good() -> None:
    assert verdicts(environment()) == {"Python": "ok", "vLLM": "ok", "plug-in": "ok"}


@pytest.mark.parametrize(
    ("changes", "check", "said"),
    [
        ({"python": (3, 9, 18)}, "Python", "3.9.18: the part needs 3.10 or newer"),
        ({"vllm": ""}, "vLLM", "no vLLM in the environment of /opt/vllm/bin/python"),
        ({"vllm": "0.11.0"}, "vLLM", "0.11.0 loads no such plug-in"),
        ({"vllm": "0.8.5.post1"}, "vLLM", "0.8.5.post1 loads no such plug-in"),
        ({"package": False, "groups": frozenset()}, "plug-in", "not installed there: INSTALL"),
        ({"groups": frozenset(["vllm.stat_logger_plugins"])}, "plug-in", "an older release, without entry points"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(changes: Mapping[str, object], check: str, said: str) -> None:
    found = environment(**changes)
    assert [one.check for one in found if one.verdict != "ok"] == [check]
    assert said in words(found, check)


def test_a_release_that_is_not_out_yet_is_new_enough() -> None:
    assert verdicts(environment(vllm="0.33.0rc1.dev5+g1234"))["vLLM"] == "ok"
    assert verdicts(environment(vllm="1.0"))["vLLM"] == "ok"


# How it was started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "snapshots"
    made.mkdir(mode=0o755)
    return made


def server(folder: Path, *more: str, user: int | None = None, **environ: str) -> RunningServer:
    arguments = ("/opt/vllm/bin/python3", "/opt/vllm/bin/vllm", "serve", "m", "--port", "8001", *more)
    environ = {"VLLM_MONITOR_DIR": str(folder), **environ}
    return RunningServer(7, 8001, arguments, environ, os.geteuid() if user is None else user)


def test_a_server_that_has_all_is_good(folder: Path) -> None:
    SnapshotWriter(folder, port=8001)
    found = list(
        check_server(server(folder, "--middleware", "vllm_monitor.Middleware", VLLM_MONITOR_TOKEN_FILE="/t"), folder)
    )
    assert set(verdicts(found).values()) == {"ok"}


def test_a_server_that_has_not_loaded_it_yet_is_to_be_started_again(folder: Path) -> None:
    SnapshotWriter(folder, port=8000)  # of another server
    found = list(check_server(server(folder), folder))
    assert verdicts(found)["file"] == "missing"
    assert "restart the server" in words(found, "file")


def test_middleware_and_token_may_be_left_out(folder: Path) -> None:
    SnapshotWriter(folder, port=8001)
    found = list(check_server(server(folder), folder))
    assert [one.check for one in found if one.verdict == "note"] == ["middleware", "token"]
    assert Report(Place("/p"), tuple(found)).loads


@pytest.mark.parametrize(
    ("plugins", "verdict"),
    [("", "missing"), ("lora_resolver", "missing"), ("lora_resolver,vllm_monitor", "ok"), ("vllm_monitor", "ok")],
)
def test_the_filter_must_name_it(folder: Path, plugins: str, verdict: str) -> None:
    assert verdicts(list(check_server(server(folder, VLLM_PLUGINS=plugins), folder)))["VLLM_PLUGINS"] == verdict


def test_a_directory_that_is_not_there_is_said(tmp_path: Path, folder: Path) -> None:
    absent = tmp_path / "absent"
    found = list(check_server(server(absent), folder))
    assert f"sudo install -d -o {os.geteuid()} {absent}" in words(found, "directory")
    found = list(check_server(replace(server(absent), contained=True), folder))
    assert f"-v {folder}:{absent}" in words(found, "directory")


def test_one_that_the_servers_user_may_not_write_is_said(folder: Path) -> None:
    found = list(check_server(server(folder, user=4711), folder))
    assert verdicts(found)["directory"] == "missing"
    assert f"chown 4711 {folder}" in words(found, "directory")


def test_a_group_may_write(folder: Path) -> None:
    folder.chmod(0o1775)
    member = replace(server(folder, user=4711), groups=frozenset([folder.stat().st_gid]))
    assert verdicts(list(check_server(member, folder)))["directory"] == "ok"


def test_an_exporter_that_looks_elsewhere_is_said(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    assert "No such file" in words(list(check_server(server(folder), other)), "exporter")
    other.mkdir(mode=0o755)
    assert "which is another directory" in words(list(check_server(server(folder), other)), "exporter")


def test_what_the_exporter_does_not_trust_is_said(folder: Path) -> None:
    folder.chmod(0o777)
    assert "others may write into it" in words(list(check_server(server(folder), folder)), "exporter")
    folder.chmod(0o1777)
    found = list(check_server(server(folder, user=4711), folder))
    assert "does not trust files of user 4711" in words(found, "exporter")


def test_the_front_end_in_rust_runs_none_of_it(folder: Path) -> None:
    found = list(check_server(replace(server(folder), rust=True), folder))
    assert verdicts(found)["front end"] == "missing"


def test_an_environment_that_is_closed_is_not_known(folder: Path) -> None:
    found = list(check_server(replace(server(folder), environ=None), folder))
    assert verdicts(found)["environment"] == "unknown"
    assert not Report(Place("/p"), tuple(found)).loads


# Which servers run


def fake(tmp_path: Path) -> FakeProc:
    proc = FakeProc(tmp_path / "proc")
    proc.process(100, 1, "/opt/vllm/bin/python3 /opt/vllm/bin/vllm serve m --port 8001")
    proc.process(101, 100, "VLLM::APIServer_0")
    proc.process(102, 100, "VLLM::EngineCore")
    proc.process(200, 1, "python -m vllm.entrypoints.openai.api_server")
    proc.process(300, 1, "nginx")
    for pid in (100, 101, 102, 200, 300):
        (proc.root / f"{pid}/status").write_text("Name:\tvllm\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10\n")
    (proc.root / "100/environ").write_bytes(b"VIRTUAL_ENV=/opt/other\0VLLM_MONITOR_DIR=/there\0")
    return proc


def test_each_server_is_found_once(tmp_path: Path) -> None:
    first, second = find_servers(fake(tmp_path).root)
    assert (first.pid, first.port, first.user, first.group, first.groups) == (
        *(100, 8001, 2, 6),
        frozenset((6, 9, 10)),
    )
    assert first.environ == {"VIRTUAL_ENV": "/opt/other", "VLLM_MONITOR_DIR": "/there"}
    assert not first.rust
    assert (second.pid, second.port, second.environ) == (200, 8000, None)


@pytest.mark.parametrize("how", ["child", "environment", "alone"])
def test_the_front_end_in_rust_is_seen(tmp_path: Path, how: str) -> None:
    proc = fake(tmp_path)
    pid = 100
    if how == "child":
        proc.process(103, 100, "/opt/vllm/lib/vllm-rs frontend --port 8001")
    elif how == "environment":
        (proc.root / "100/environ").write_bytes(b"VLLM_USE_RUST_FRONTEND=1\0")
    else:
        pid = 104
        proc.process(pid, 1, "vllm-rs serve m --port 8005")
        (proc.root / "104/status").write_text("Uid:\t0\t0\nGid:\t0\t0\nGroups:\n")
    assert [one.rust for one in find_servers(proc.root) if one.pid == pid] == [True]


def test_the_interpreter_is_that_of_the_environment(folder: Path) -> None:
    assert choose_python(server(folder)) == "/opt/vllm/bin/python3"
    renamed = replace(server(folder, VIRTUAL_ENV="/opt/v"), arguments=("vllm serve m",))
    assert choose_python(renamed) == "/opt/v/bin/python"
    assert choose_python(replace(renamed, environ={})) is None


# What a Python says of itself


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment without anything, not even pip."""
    made = tmp_path_factory.mktemp("environment")
    venv.create(made, with_pip=False)
    return str(made / "bin/python")


def test_an_empty_environment_has_nothing(empty: str) -> None:
    found = look_at(empty, {})
    assert found == PythonEnvironment(tuple(sys.version_info[:3]), "", "", frozenset(), package=False, pip=False)


def test_what_python_path_adds_counts(empty: str, tmp_path: Path) -> None:
    info = tmp_path / "vllm-0.20.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.20.0\n")
    (tmp_path / "vllm_monitor").mkdir()
    (tmp_path / "vllm_monitor/__init__.py").write_text("raise SystemExit('nothing of it is run')")
    info = tmp_path / "ours-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[vllm.general_plugins]\nvllm_monitor = vllm_monitor.general:load\n")
    found = look_at(empty, {"PYTHONPATH": str(tmp_path), "SECRET": "x"})
    assert (found.vllm, found.package, found.groups) == (
        *("0.20.0", True),
        frozenset(["vllm.general_plugins"]),
    )


@pytest.mark.parametrize("program", ["/bin/true", "/bin/false", "/nonexistent/python"])
def test_what_is_no_python_is_said(program: str) -> None:
    with pytest.raises(SourceError, match=f"{program} cannot be asked"):
        look_at(program, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="root runs it as another user")
def test_root_runs_an_interpreter_as_the_user_who_may_replace_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$(id -u) $(id -g) $(id -G)" >&2\nexit 1\n')
    python.chmod(0o755)
    for one in (tmp_path, *tmp_path.parents[:3]):
        one.chmod(0o755)
    os.chown(tmp_path, 4711, 4712)
    account = owner_of(str(python))
    assert account == Account(4711, 4712)
    with pytest.raises(SourceError, match="4711 4712 4712"):
        look_at(str(python), {}, account)
    wheel = tmp_path / "x.whl"
    wheel.touch()
    with pytest.raises(SourceError, match="4711 4712 4712"):
        pip_install(str(python), str(wheel), account)


# The command


def test_an_environment_without_pip_is_not_touched_and_uv_is_named(empty: str) -> None:
    with pytest.raises(
        SourceError, match=f"has no pip, as environments of uv have none: uv pip install --python {empty}"
    ):
        install(Place(empty), "/checkout/exporter")


def test_nothing_is_installed_into_a_container(folder: Path) -> None:
    with pytest.raises(SourceError, match="it runs in a container"):
        install(Place("/opt/vllm/bin/python", replace(server(folder), contained=True)), "/checkout/exporter")


def test_pip_is_given_a_copy_and_told_to_install_nothing_else(tmp_path: Path) -> None:
    """What a build leaves behind would be in the next one."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\nfor last; do :; done\ncd "$last" && ls && touch build && exit 0\n')
    python.chmod(0o755)
    source = tmp_path / "exporter"
    (source / "build").mkdir(parents=True)
    (source / "pyproject.toml").touch()
    pip_install(str(python), str(source))
    assert sorted(one.name for one in source.iterdir()) == ["build", "pyproject.toml"]
    python.write_text(python.read_text().replace("exit 0", "exit 1"))
    with pytest.raises(SourceError) as failure:
        pip_install(str(python), str(source))
    said = str(failure.value).splitlines()
    assert said[1].startswith("-m pip install --no-deps --disable-pip-version-check /")
    assert said[2:] == ["pyproject.toml"]


def test_a_source_that_is_not_there_is_said() -> None:
    with pytest.raises(SourceError, match=r"/absent\.whl cannot be copied: .*No such file"):
        pip_install(sys.executable, "/absent.whl")


def test_the_source_is_this_checkout_or_what_is_named(tmp_path: Path) -> None:
    assert Path(choose_source("")).name == "exporter"
    wheel = tmp_path / "vllm_exporter-0.1.0-py3-none-any.whl"
    wheel.touch()
    assert choose_source(str(wheel)) == str(wheel)


def test_prints_lines_and_json(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-plugin", "--check", "--python", empty]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{empty}\n  ok       Python")
    assert "  missing  plug-in      not installed there: vllm-exporter install-plugin --python" in said
    assert main(["install-plugin", "--check", "--json", "--python", empty]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["python"], told["pid"], told["loads"]) == (empty, None, False)
    assert [one["check"] for one in told["checks"]] == ["Python", "vLLM", "plug-in"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--python", "/nonexistent"], "--python /nonexistent: there is no such program"),
        (["--check"], "no vLLM server is running that this user can see; name its Python: --python PATH"),
        (["--check", "--port", "1"], "no vLLM server on port 1 is running"),
        (["--python", sys.executable, "--from", "/etc"], "/etc is neither a wheel nor the directory exporter/"),
    ],
)
def test_without_anything_to_check_it_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    monkeypatch.setattr(report, "find_servers", lambda: iter(()))
    assert main(["install-plugin", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_python_that_is_named_brings_the_servers_that_run_in_it(
    folder: Path, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(server(folder), arguments=(str(Path(empty).with_name("python3")), "vllm", "serve"))
    monkeypatch.setattr(report, "find_servers", lambda: iter([server(folder), own]))
    assert choose_places(empty, None) == [Place(empty, own)]

"""The plug-in that vLLM loads in each of its processes, in processes named as vLLM names them."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.patience import wait_for
from vllm_monitor import reading
from vllm_monitor.general import load
from vllm_monitor.place import own_role

SECRET = "a-long-random-word"


def run(code: str, folder: Path, **environment: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "VLLM_MONITOR_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def roles(folder: Path) -> list[str]:
    return sorted(one.role for one in reading.read_all(folder))


def test_it_is_inert_without_the_directory(tmp_path: Path) -> None:
    code = """
        import threading
        from vllm_monitor.general import load
        load()
        print(threading.active_count())
    """
    assert run(code, tmp_path / "absent") == "1\n"
    assert not (tmp_path / "absent").exists()


def test_an_api_server_is_left_without_a_thread_since_vllm_forks_from_it(tmp_path: Path) -> None:
    code = """
        import threading
        from vllm_monitor.general import load
        load()
        load()
        print(threading.active_count())
    """
    assert run(code, tmp_path) == "1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("name", "role"),
    [("EngineCore", "engine_core"), ("EngineCore_DP1", "engine_core"), ("VllmWorker-3", "worker"), ("loader", None)],
)
def test_engines_and_workers_write_a_file_each_once(tmp_path: Path, method: str, name: str, role: str | None) -> None:
    """A forked process has what its parent loaded; a new one loads it by itself. Those of others stay as they are."""
    code = """
        import multiprocessing, time
        import vllm_monitor.general

        vllm_monitor.general.load()
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            child = context.Process(target=time.sleep, args=(0.5,), name={name!r})
            child.start()
            child.join()
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code).format(method=method, name=name))
    folder = tmp_path / "snapshots"
    folder.mkdir()
    environment = {**os.environ, "VLLM_MONITOR_DIR": str(folder)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert roles(folder) == [role] * (role is not None)


def test_a_process_of_ray_is_a_worker() -> None:
    assert own_role(["/opt/venv/lib/python3.12/site-packages/ray/_private/workers/default_worker.py"]) == "worker"
    assert own_role(["vllm", "serve"]) == "api_server"


def test_nothing_that_fails_reaches_vllm(tmp_path: Path) -> None:
    code = """
        from vllm_monitor import general, place
        def fail(*arguments): raise RuntimeError("no")
        place.directory = fail
        general.load()
        general._forked(None)
        place.directory = lambda: None
        place.own_role = fail
        general._forked(None)
        print("serves")
    """
    assert run(code, tmp_path) == "serves\n"


def test_a_token_file_that_cannot_be_read_is_said_and_the_rest_works(tmp_path: Path) -> None:
    code = """
        import sys, logging
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        from vllm_monitor.general import load
        from vllm_monitor.process import this_process
        load()
        this_process().background.round()
    """
    said = run(code, tmp_path, VLLM_MONITOR_TOKEN_FILE=str(tmp_path / "token"))
    assert said.startswith("vllm_monitor: memory is not freed on command: VLLM_MONITOR_TOKEN_FILE: ")
    assert said.count("\n") == 1


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o600)
    return file


def free_memory(folder: Path, token: Path | None, *options: str) -> tuple[int, str, str]:
    """Exit code and what the command says."""
    environment = {name: value for name, value in os.environ.items() if name != "VLLM_MONITOR_TOKEN_FILE"}
    environment |= {"VLLM_MONITOR_DIR": str(folder)} | ({"VLLM_MONITOR_TOKEN_FILE": str(token)} if token else {})
    command = [sys.executable, "-m", "vllm_monitor", "free-memory", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def engine(folder: Path, token: Path, monkeypatch: pytest.MonkeyPatch) -> BaseProcess:
    """A process that vLLM calls an engine core, in the loop of one."""
    monkeypatch.setenv("VLLM_MONITOR_DIR", str(folder))
    monkeypatch.setenv("VLLM_MONITOR_TOKEN_FILE", str(token))
    child = multiprocessing.get_context("spawn").Process(target=run_busy_loop, name="EngineCore", daemon=True)
    child.start()
    wait_for(lambda: roles(folder) == ["engine_core"])
    return child


def run_busy_loop() -> None:
    load()
    dequeue()


def dequeue() -> None:
    multiprocessing.get_context("spawn").Event().wait(60)


def test_a_person_frees_memory_with_one_command(tmp_path: Path, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    child = engine(folder, token, monkeypatch)
    try:
        code, said, _ = free_memory(folder, token)
        assert code == 0
        assert said.startswith(f"engine_core  pid {child.pid} ")
        assert "while no step ran" in said
        (snapshot,) = reading.read_all(folder)
        assert [one.values for one in snapshot.entries if one.name == "vllm_memory_lever_pulls_total"] == [(1.0,)]
    finally:
        child.kill()
        child.join()


def test_who_does_not_answer_is_named(tmp_path: Path, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    child = engine(folder, token, monkeypatch)
    other = tmp_path / "other"
    other.write_text("another-word")
    other.chmod(0o600)
    try:
        code, said, _ = free_memory(folder, other, "--wait", "0.8")
        assert code == 1
        assert "no answer: it does not run, or VLLM_MONITOR_TOKEN_FILE names no file to it, or another token" in said
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize(
    ("there", "with_token", "options", "words"),
    [
        (False, True, (), "this user cannot write into"),
        (True, False, (), "VLLM_MONITOR_TOKEN_FILE names no file"),
        (True, True, (), "no process of a server with the plug-in writes into"),
        (True, True, ("--wait", "nan"), "invalid seconds value: 'nan'"),
        (True, True, ("--port", "x"), "invalid int value: 'x'"),
    ],
)
def test_wrong_use_is_said(
    tmp_path: Path, token: Path, there: bool, with_token: bool, options: tuple[str, ...], words: str
) -> None:
    folder = tmp_path / "snapshots"
    if there:
        folder.mkdir()
    code, said, error = free_memory(folder, token if with_token else None, *options)
    assert (code, said) == (2, "")
    assert words in error
    assert "Traceback" not in error
    assert not list(folder.glob("*.command"))


def test_loading_it_loads_nothing_heavy(tmp_path: Path) -> None:
    """Beside what a start of vLLM, which takes seconds, has loaded already: a server of HTTP comes when asked for."""
    code = """
        import asyncio, hashlib, json, logging, multiprocessing.util, sys, threading
        before = set(sys.modules)
        from vllm_monitor.general import load
        load()
        print(json.dumps(sorted(set(sys.modules) - before)))
    """
    loaded = {name for name in json.loads(run(code, tmp_path)) if name.partition(".")[0] != "vllm_monitor"}
    public = {name for name in loaded if not name.startswith("_")}
    assert public <= {"bisect", "copy", "dataclasses", "gc", "hmac", "mmap", "zlib"}

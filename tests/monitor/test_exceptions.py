"""Exceptions that nobody caught: counted and told, and each hook that was there before does what it did."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.test_stats import counts
from vllm_monitor import exceptions
from vllm_monitor.background import Background
from vllm_monitor.exceptions import AGAIN, CLASSES, STACKS, Exceptions, describe
from vllm_monitor.outcomes import Exchange

PROMPT = "my diary of 1999"
RANDOM_EXCEPTIONS = 100_000


class Scene:
    """A process whose hooks a test pulls itself, and whose thread is not started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 100.0
        self.background = Background(folder, 8000, lambda: self.now)
        self.exceptions = Exceptions(self.background, lambda: 1_800_000_000.0)
        self.background.add(self.exceptions)

    def counts(self) -> dict[str, float]:
        self.background.round()
        found = counts(self.background.series)
        return {name: value for name, (value, *_) in found.items() if name.startswith("vllm_exceptions_total")}

    def lines(self) -> list[dict[str, Any]]:
        self.background.round()
        return [json.loads(line) for file in self.folder.glob("*.lines") for line in file.read_text().splitlines()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.background.stop()


def raised(error: BaseException) -> BaseException:
    """The exception, with the stack of a function that has a prompt as its local."""

    def handle(prompt: str) -> None:
        raise error

    try:
        handle(PROMPT)
    except BaseException as caught:  # noqa: BLE001
        return caught
    raise AssertionError


def test_an_exception_counts_by_class_and_origin(scene: Scene) -> None:
    scene.exceptions.note(raised(KeyError("x")), "thread")
    scene.exceptions.note(raised(KeyError("x")), "thread")
    scene.exceptions.note(raised(OSError()), "asyncio")
    assert scene.counts() == {
        "vllm_exceptions_total origin=thread exception=KeyError": 2,
        "vllm_exceptions_total origin=asyncio exception=OSError": 1,
    }


def test_a_line_tells_the_stack_and_nothing_that_a_user_said(scene: Scene) -> None:
    scene.exceptions.note(raised(ValueError(PROMPT)), "main")
    (line,) = scene.lines()
    stack = line.pop("stack")
    assert stack.startswith("monitor/test_exceptions.py:")
    assert stack.split(" < ")[0].endswith(" in handle")
    assert line.pop("fingerprint").isalnum()
    assert line == {
        "time": 1_800_000_000.0, "kind": "exception", "exception": "ValueError", "origin": "main", "cause": "",
        "count": 1, "port": 8000,
    }  # fmt: skip
    assert "diary" not in stack


def test_the_exception_behind_it_is_named(scene: Scene) -> None:
    try:
        raise RuntimeError from raised(KeyError("x"))
    except RuntimeError as error:
        scene.exceptions.note(error, "main")
    assert scene.lines()[0]["cause"] == "KeyError"


def test_the_same_stack_is_told_once_and_then_once_a_minute_with_its_number(scene: Scene) -> None:
    for _ in range(5):
        scene.exceptions.note(raised(KeyError("x")), "thread")
    assert [line["count"] for line in scene.lines()] == [1]
    scene.now += AGAIN
    assert [line["count"] for line in scene.lines()] == [1, 4]
    scene.now += AGAIN
    assert len(scene.lines()) == 2


def test_stacks_of_other_functions_are_others() -> None:
    def fingerprint(error: BaseException) -> str:
        return describe(error, "main", 0.0).fingerprint

    one = fingerprint(raised(KeyError("x")))
    with pytest.raises(KeyError) as elsewhere:
        os.environ["VLLM_NO_SUCH_VARIABLE"]
    assert one == fingerprint(raised(KeyError("y")))
    assert one != fingerprint(raised(OSError()))
    assert one != fingerprint(elsewhere.value)


@pytest.mark.parametrize("wanted", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_somebody_wanted_is_no_exception(scene: Scene, wanted: BaseException) -> None:
    scene.exceptions.note(wanted, "main")
    assert scene.counts() == {}


@pytest.mark.parametrize(
    ("error", "exchange", "counted"),
    [
        (RuntimeError("x"), Exchange(1.0), True),
        (ValueError("max_tokens"), Exchange(1.0), False),  # vLLM answers 400
        (ValueError("x"), Exchange(1.0, status=200, first=2.0), True),  # within a stream
        (RuntimeError("x"), Exchange(1.0, left=True), False),  # of a client that is gone
        (asyncio.CancelledError(), Exchange(1.0), False),
    ],
)
def test_a_handlers_exception_counts_if_the_server_is_to_blame(
    scene: Scene, error: BaseException, exchange: Exchange, counted: bool
) -> None:
    scene.exceptions.handled(error, exchange)
    assert bool(scene.counts()) is counted


def test_many_classes_and_stacks_stay_bounded(scene: Scene) -> None:
    for number in range(10 * STACKS):
        scene.exceptions.note(type(f"Error{number}", (Exception,), {})(), "main")
        scene.background.round()
    assert len(scene.counts()) == CLASSES + 1
    assert len(scene.exceptions._stacks) == STACKS


class Strange(Exception):
    """An exception of which nothing can be asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_random_exceptions_are_survived_and_leave_no_text_behind(scene: Scene) -> None:
    dice = random.Random(5)
    kinds: list[type[Exception]] = [KeyError, ValueError, OSError, Strange, type(PROMPT, (Exception,), {})]
    for _ in range(RANDOM_EXCEPTIONS):
        error = dice.choice(kinds)(PROMPT, dice.random())
        if dice.random() < 0.1:
            error.__cause__ = dice.choice((error, raised(KeyError(PROMPT))))
        scene.exceptions.note(raised(error) if dice.random() < 0.3 else error, dice.choice(("main", "thread")))
        if dice.random() < 0.01:
            scene.now += 1
            scene.background.round()
    files = b"".join(file.read_bytes() for file in scene.folder.iterdir())
    assert b"diary" not in files
    assert scene.lines()


# The hooks, in processes of their own.

PROGRAM = """
import asyncio, multiprocessing, os, sys, threading
from pathlib import Path
from vllm_monitor import exceptions
from vllm_monitor.background import Background
FOLDER = Path(sys.argv[1])

def installed():
    background = Background(FOLDER, 0)
    exceptions.install(background)
    exceptions.install(background)  # by another part of the library
    background.start()

def child():
    installed()
    raise LookupError("of a child")
"""


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    body = "\n".join(f"    {line}" for line in code.splitlines())
    program.write_text(f"{PROGRAM}\nif __name__ == '__main__':\n{body}\n")
    inside = folder / "inside"
    inside.mkdir()
    return subprocess.run([sys.executable, program, inside], capture_output=True, text=True, timeout=60, check=False)


def told(folder: Path) -> list[tuple[str, str]]:
    files = (folder / "inside").glob("*.lines")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return sorted((line["origin"], line["exception"]) for line in lines)


def test_a_program_that_dies_of_it_says_so_as_before_and_leaves_a_line(tmp_path: Path) -> None:
    ended = run(tmp_path, "installed()\nraise KeyError('x')")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("KeyError: 'x'\n")
    assert told(tmp_path) == [("main", "KeyError")]


def test_hooks_that_were_there_are_called(tmp_path: Path) -> None:
    code = """
sys.excepthook = lambda kind, error, trace: print("mine", kind.__name__, error, trace is not None)
threading.excepthook = lambda arguments: print("mine too", arguments.exc_type.__name__, arguments.thread.name)
installed()
thread = threading.Thread(target=lambda: 1 / 0, name="t")
thread.start()
thread.join()
raise KeyError("x")"""
    ended = run(tmp_path, code.strip())
    assert ended.stdout == "mine too ZeroDivisionError t\nmine KeyError 'x' True\n"
    assert told(tmp_path) == [("main", "KeyError"), ("thread", "ZeroDivisionError")]


def test_a_task_that_nobody_awaits_is_told_and_its_loops_handler_called(tmp_path: Path) -> None:
    code = """
installed()
async def fail():
    raise KeyError("x")
async def main(handler):
    asyncio.get_running_loop().set_exception_handler(handler)
    exceptions.watch_loop()
    exceptions.watch_loop()
    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
asyncio.run(main(lambda loop, context: print("mine", context["exception"])))
asyncio.run(main(None))"""
    ended = run(tmp_path, code.strip())
    assert ended.stdout == "mine 'x'\n"
    assert "Task exception was never retrieved" in ended.stderr
    assert set(told(tmp_path)) == {("asyncio", "KeyError")}


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python forgets the exception before anybody is called")
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_process_of_multiprocessing_is_heard_too(tmp_path: Path, way: str) -> None:
    """Python prints its exception without a hook: vLLM's engine core is such a process."""
    code = f"""
installed()
process = multiprocessing.get_context({way!r}).Process(target=child)
process.start()
process.join()
print(process.exitcode)"""
    ended = run(tmp_path, code.strip())
    assert ended.stdout == "1\n"
    assert "LookupError: of a child" in ended.stderr
    assert told(tmp_path) == [("main", "LookupError")]


def test_a_program_that_ends_well_leaves_no_line(tmp_path: Path) -> None:
    ended = run(tmp_path, "installed()\nthreading.Thread(target=print).start()\nsys.exit(3)")
    assert ended.returncode == 3
    assert told(tmp_path) == []


def test_a_note_that_fails_hides_nothing(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(exceptions, "describe", fail)
    heard: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: heard.append(arguments.exc_type.__name__))
    monkeypatch.setattr(exceptions, "_hooked", False)
    monkeypatch.setattr(exceptions, "_current", scene.exceptions)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    exceptions.install(scene.background)
    threading.excepthook(
        types.SimpleNamespace(exc_type=KeyError, exc_value=KeyError("x"), exc_traceback=None, thread=None)  # type: ignore[arg-type]
    )
    assert heard == ["KeyError"]

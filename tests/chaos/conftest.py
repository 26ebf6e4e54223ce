"""A healer as a real process, and a list of what held, which is printed at the end."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import ports
from tests.e2e.harness.vllm_server import NO_SCRIPT, find_script

HELD = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def stage() -> ModuleType:
    """tests/healer/stage.py, which a test of another folder cannot import."""
    place = Path(__file__).parents[1] / "healer/stage.py"
    spec = importlib.util.spec_from_file_location("healer_stage", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["healer_stage"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def healer(stage: ModuleType) -> Iterator[Any]:
    """In dry run, without servers, on a free port."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:  # short: a socket's path has 107 bytes at most
        running = stage.Healer(Path(folder), ports.free_port())
        running.configure()
        running.start()
        yield running
        running.kill()


@pytest.fixture
def script() -> Path:
    """The script that runs a real vLLM."""
    found = find_script()
    if found is None:
        pytest.skip(NO_SCRIPT)
    return found


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line for the summary."""
    return request.config.stash.setdefault(HELD, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(HELD, [])
    if lines:
        terminalreporter.section("what held")
        for line in lines:
            terminalreporter.line(line)

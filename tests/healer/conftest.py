"""Makes the plain modules beside the tests reachable: with importlib mode a test cannot import its neighbours."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import ports


def neighbour(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cases() -> ModuleType:
    """tests/healer/cases.py"""
    return neighbour("cases.py", "healer_cases")


@pytest.fixture(scope="session")
def stage() -> ModuleType:
    """tests/healer/stage.py"""
    return neighbour("stage.py", "healer_stage")


@pytest.fixture(scope="session")
def http() -> ModuleType:
    """tests/healer/network/fake_http.py"""
    return neighbour("network/fake_http.py", "fake_http")


@pytest.fixture(scope="session")
def supervised() -> ModuleType:
    """tests/healer/actuators/fake_supervised.py"""
    return neighbour("actuators/fake_supervised.py", "fake_supervised")


@pytest.fixture(scope="session")
def fake_docker() -> ModuleType:
    """tests/healer/actuators/fake_docker.py"""
    return neighbour("actuators/fake_docker.py", "fake_docker")


@pytest.fixture(scope="session")
def supervisord_path() -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which("supervisord", path=os.environ.get("SUPERVISORD_DIR", f"{beside}:{os.environ['PATH']}"))
    if found is None:
        pytest.skip("needs supervisord: pip install supervisor, or apt-get install supervisor")
    return found


@pytest.fixture
def server(http: ModuleType) -> Iterator[Any]:
    """An HTTP server that answers as the test tells it."""
    fake = http.FakeServer()
    running = http.start(fake)
    yield fake
    fake.ended.set()
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="session")
def free_port() -> object:
    """A function that finds a port where nobody listens."""
    return ports.free_port

"""The plain module beside the tests, and the stack that the tests on a real Docker share."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.ports import free_ports


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """tests/compose/world.py"""
    spec = importlib.util.spec_from_file_location("compose_world", Path(__file__).parent / "world.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compose_world"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stack(world: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two simulated servers in containers and, from a copy of the checkout, all services that have an image here."""
    needs_engine(world)
    stack = world.Stack(tmp_path_factory.mktemp("checkout"))
    try:
        stack.start()
        yield stack
    finally:
        stack.end()


@pytest.fixture(scope="module")
def old_stack(world: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The same with Prometheus and Alertmanager of an older generation."""
    needs_engine(world)
    if not world.has_images(*world.OLDER.values()):
        lacking(f"needs the images {' and '.join(world.OLDER.values())}")
    stack = world.Stack(tmp_path_factory.mktemp("checkout"))
    try:
        stack.start(**world.OLDER)
        yield stack
    finally:
        stack.end()


@pytest.fixture
def demo(world: ModuleType, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """`make` in a copy of the checkout, for a demo of its own."""
    needs_engine(world)
    world.copy_checkout(tmp_path)
    own = {"COMPOSE_PROJECT_NAME": f"{world.PROJECT}-demo", "DEMO_PORT": str(free_ports(100)), "DOCKER": "1"}
    yield lambda target, **env: world.make(tmp_path, target, **own, **env)
    world.make(tmp_path, "demo-down", check=False, **own)


def needs_engine(world: ModuleType) -> None:
    if not world.has_engine():
        lacking("needs a Docker engine and `docker compose`")


def lacking(what: str) -> None:
    """Skips, but not where all must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)

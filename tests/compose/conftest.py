"""The plain module beside the tests, and the stack that the tests on a real Docker share."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

IMAGES = ("prom/prometheus", "prom/alertmanager", "haproxy", "python")


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
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("no Docker engine answers")
        pytest.skip("needs a Docker engine")
    stack = world.Stack(tmp_path_factory.mktemp("checkout"))
    try:
        stack.start()
        yield stack
    finally:
        stack.end()

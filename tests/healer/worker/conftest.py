import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _world_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("worker_world", Path(__file__).with_name("world.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


WORLD = _world_module()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[object]:
    made = WORLD.World(tmp_path)
    yield made
    made.journal.close()

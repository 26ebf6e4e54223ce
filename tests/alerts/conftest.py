"""Each test that asks for `tools` runs once for every generation found."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.alerts.toolchain import Tools, find_generations

GENERATIONS = find_generations()
NONE_FOUND = pytest.mark.skip(reason="no complete set of prometheus, promtool, alertmanager and amtool on this machine")


@pytest.fixture(
    scope="session",
    params=GENERATIONS or [pytest.param(None, marks=NONE_FOUND)],
    ids=[tools.name for tools in GENERATIONS] or ["none"],
)
def tools(request: pytest.FixtureRequest) -> Tools:
    found = request.param
    assert isinstance(found, Tools)
    return found


@pytest.fixture(scope="session")
def supervisord() -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which("supervisord", path=f"{beside}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("needs supervisord: pip install supervisor, or apt-get install supervisor")
    return found

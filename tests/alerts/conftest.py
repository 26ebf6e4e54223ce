"""Each test that asks for `tools` runs once for every generation found."""

from __future__ import annotations

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

"""What hang-report says of a real vLLM in each state that looks alike from outside: no answer, /health 200."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness.hangs import STATES, report_on, running_server
from tests.e2e.harness.vllm_server import VllmServer
from tests.ports import free_port

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def server(script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VllmServer, int]]:
    """One for all states; each leaves it as it found it."""
    with running_server(script, free_port(), tmp_path_factory.mktemp("hang_report")) as running:
        yield running


@pytest.mark.parametrize("name", list(STATES))
def test_names_the_state_and_says_by_what(server: tuple[VllmServer, int], name: str) -> None:
    found = report_on(STATES[name], *server)
    assert (found["cause"], found["seen"]["health"]) == (STATES[name].cause, "ok"), found
    assert found["evidence"]
    assert found["hang"] == (found["cause"] in ("paused", "sleeping", "stopped_worker"))

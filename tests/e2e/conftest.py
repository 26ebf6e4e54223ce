"""Fixtures of the end-to-end tests: one stack for all scenarios, and what is printed at the end and on failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness.stack import Stack, run_directory, running_stack
from tests.e2e.harness.timeline import Timeline
from tests.e2e.harness.vllm_server import NO_SCRIPT, VllmServer, chosen_port, find_script, plain_server

TIMELINES = pytest.StashKey[list[Timeline]]()
RUN = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def script() -> Path:
    """The script that runs a real vLLM."""
    found = find_script()
    if found is None:
        pytest.skip(NO_SCRIPT)
    return found


@pytest.fixture(scope="session")
def stack(script: Path, pytestconfig: pytest.Config) -> Iterator[Stack]:
    """One stack for all scenarios: it is the product under test, and it lives through all of them as it would."""
    run = run_directory()
    pytestconfig.stash[RUN] = run
    with running_stack(run, chosen_port()) as running:
        yield running


@pytest.fixture(scope="session")
def plain(script: Path, stack: Stack) -> VllmServer:
    """The server of most scenarios."""
    return plain_server(script, stack.port)


@pytest.fixture
def timelines(request: pytest.FixtureRequest) -> list[Timeline]:
    """Those of all scenarios; printed at the end of the run."""
    return request.config.stash.setdefault(TIMELINES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if RUN not in config.stash:
        return
    terminalreporter.section("from fault to verified")
    for timeline in config.stash.get(TIMELINES, []):
        terminalreporter.line(timeline.words())
    terminalreporter.line(f"logs, journal and metrics: {config.stash[RUN]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Adds the tails of all logs and the journal to the report of a failed scenario."""
    report = yield
    running = getattr(item, "funcargs", {}).get("stack")
    if call.excinfo is not None and isinstance(running, Stack):
        report.sections.append(("logs of the stack", running.tails()))  # type: ignore[attr-defined]
    return report

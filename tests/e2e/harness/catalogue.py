"""The scenarios that can be repeated, by name: on which server, and with which fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import faults, scenarios
from tests.e2e.harness.faults import Tree
from tests.e2e.harness.scenarios import Episode
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.vllm_server import VllmServer, plain_server, slow_server

OVERLOAD_SECONDS = 600.0  # ten minutes: twenty times the alert's own wait


@dataclass(frozen=True)
class Entry:
    """One scenario."""

    name: str
    run: Callable[[Stack], Episode]
    autorestart: bool
    fault: Callable[[Tree], None] | None = None  # repeated without a healer as the baseline
    server: Callable[[Path, int], VllmServer] = plain_server


def _freeze(tree: Tree) -> None:
    faults.freeze(tree.engine_core)


def _kill_engine(tree: Tree) -> None:
    faults.kill(tree.engine_core)


def _kill_api_server(tree: Tree) -> None:
    faults.kill(tree.api_server)


# In an order that needs few starts beyond those of the healer: one server after the other.
_ENTRIES = (
    Entry("engine_killed", scenarios.engine_killed, False, _kill_engine),
    Entry("api_server_killed", scenarios.api_server_killed, False, _kill_api_server),
    Entry("healer_killed", scenarios.healer_killed, False),
    Entry("engine_killed_autorestart", scenarios.engine_killed_autorestart, True, _kill_engine),
    Entry("stall_under_load", scenarios.stall_under_load, True, _freeze),
    Entry("stall_idle", scenarios.stall_idle, True, _freeze),
    Entry("overload", lambda stack: scenarios.overload(stack, OVERLOAD_SECONDS), True),
    Entry("slow_prefill", lambda stack: scenarios.slow_prefill(stack).episode, True, server=slow_server),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}

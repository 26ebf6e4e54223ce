"""Asks an exporter that runs on this host about one server, as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm_exporter.config.config import Config
from vllm_exporter.errors import SourceError
from vllm_exporter.people.exporter_health import ask_exporter
from vllm_exporter.people.hang.evidence import LifeKind, LifeState
from vllm_exporter.subjects.lifecycle.states import DOWN, ENDING, ORDER, STARTING, STATES

KINDS: Mapping[str, LifeKind] = {
    **dict.fromkeys(STARTING, "starting"),
    **dict.fromkeys(ENDING, "ending"),
    **dict.fromkeys(DOWN, "down"),
}


def ask_about(config: Config, server: str) -> Mapping[str, Any]:
    """Returns the server's entry in GET /health; empty when no exporter runs, or another program answers there."""
    try:
        said = ask_exporter(config)
    except SourceError:
        return {}
    servers = said["stats"].get("servers") if said else None
    found = [one for one in servers or () if isinstance(one, dict) and one.get("server") == server]
    return found[0] if found else {}


def choose_state(told: Mapping[str, Any]) -> LifeState | None:
    """Returns the lifecycle state; None when there is none. A word of the summary, such as `down`, is not a state."""
    name, seconds = told.get("state"), number(told, "state_seconds")
    if not isinstance(name, str) or name not in ORDER or seconds is None:
        return None
    state = STATES[ORDER[name]]
    action = "" if state.action.startswith("Nothing; wait.") else state.action
    return LifeState(name, seconds, KINDS.get(name, "running"), state.meaning, action)


def number(told: Mapping[str, Any], key: str) -> float | None:
    value = told.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

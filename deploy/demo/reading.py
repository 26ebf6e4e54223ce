"""Asks Prometheus, Alertmanager, supervisord and the healer's journal about one server."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from deploy.demo.seen import Alert, JournalEntry, Seen
from deploy.demo.world import Server, World
from deploy.errors import NativeError
from deploy.native.environment import choose_environment
from deploy.native.health import get, is_healthy
from deploy.native.supervisor import Supervisor

FAMILIES = (
    "vllm_canary_consecutive_failures",
    "vllm_num_waiting_sequences",
    "vllm_probe_health",
    "vllm_process_orphans",
    "vllm_server_paused",
    "vllm_server_progress_age_seconds",
    "vllm_server_ready",
    "vllm_server_sleeping",
    "vllm_server_stall_limit_seconds",
    "vllm_server_stalled",
)
# Seconds between two looks at the journal: each starts a program, and sentences carry their own time.
_JOURNAL_EVERY = {True: 2.0, False: 5.0}  # with an alert, and without
_SENTENCES = 200


class Reader:
    """Looks at one server of a demo. Keeps the journal between two readings of it."""

    def __init__(self, world: World, server: Server, since: float = 0.0) -> None:
        self._world = world
        self._server = server
        self._since = since  # what was journalled earlier is another story
        self._entries: tuple[JournalEntry, ...] = ()
        self._read_at = 0.0

    def look(self) -> Seen:
        at = time.time()
        samples, probe = read_samples(self._world, self._server)
        alerts = read_alerts(self._world, self._server)
        answers = is_healthy(self._server.port, "/health")
        return Seen(at, samples, probe, alerts, self._journal(at, bool(alerts)), self._pid(), answers)

    def _journal(self, at: float, alerted: bool) -> tuple[JournalEntry, ...]:
        if at - self._read_at >= _JOURNAL_EVERY[alerted]:
            self._read_at = at
            entries = (entry for entry in read_journal(self._world) if entry.at >= self._since)
            self._entries = choose_entries(tuple(entries), self._server.name)
        return self._entries

    def _pid(self) -> int:
        try:
            processes = Supervisor(self._world.layout).processes()
        except NativeError:
            return 0
        return next((one.pid for one in processes if one.name == self._server.program), 0)


def read_samples(world: World, server: Server) -> tuple[dict[str, float], str]:
    """Returns family -> value, and the result of the last probe; both empty when Prometheus does not answer."""
    query = f'{{server="{server.name}",__name__=~"{"|".join(FAMILIES)}"}}'
    asked = f"/api/v1/query?{urlencode({'query': query})}"
    answer = get(world.ports.prometheus, asked, world.password("prometheus"))
    return parse_samples(answer[1]) if answer and answer[0] == 200 else ({}, "")


def read_alerts(world: World, server: Server | None) -> tuple[Alert, ...]:
    """Returns the active alerts of a server; with None those that name no server."""
    matcher = f'server="{server.name if server else ""}"'
    asked = urlencode({"active": "true", "silenced": "false", "inhibited": "false", "filter": matcher})
    answer = get(world.ports.alertmanager, f"/api/v2/alerts?{asked}", world.password("alertmanager"))
    return parse_alerts(answer[1]) if answer and answer[0] == 200 else ()


def read_journal(world: World) -> tuple[JournalEntry, ...]:
    """Asks the healer's own command, since the file's format is its own. Empty when it cannot be read now."""
    program = str(world.layout.program("vllm-healer"))
    command = [program, "history", "--json", "--limit", str(_SENTENCES), "--journal", str(world.journal)]
    environ = choose_environment(os.environ)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=Path("/"))
    return parse_entries(done.stdout) if done.returncode == 0 else ()


def parse_samples(text: str) -> tuple[dict[str, float], str]:
    """Reads Prometheus' answer to an instant query."""
    samples, probe = dict[str, float](), ""
    for series in json.loads(text)["data"]["result"]:
        family, value = series["metric"]["__name__"], float(series["value"][1])
        if family == "vllm_probe_health":
            probe = series["metric"]["result"] if value == 1 else probe
        else:
            samples[family] = value
    return samples, probe


def parse_alerts(text: str) -> tuple[Alert, ...]:
    """Reads the answer of Alertmanager's /api/v2/alerts; the oldest alert first."""
    found = (Alert(one["labels"]["alertname"], _moment(one["startsAt"])) for one in json.loads(text))
    return tuple(sorted(found, key=lambda alert: alert.since))


def parse_entries(text: str) -> tuple[JournalEntry, ...]:
    """Reads the output of `vllm-healer history --json`."""
    return tuple(_entry(one) for one in json.loads(text))


def choose_entries(entries: Iterable[JournalEntry], server: str) -> tuple[JournalEntry, ...]:
    """Returns the entries of the server's incidents. An incident names its server in its first sentence."""
    entries = tuple(entries)
    named = {entry.incident for entry in entries if entry.incident is not None and server in entry.words}
    return tuple(entry for entry in entries if entry.incident in named)


def _entry(one: Mapping[str, Any]) -> JournalEntry:
    data = one.get("data") or {}
    return JournalEntry(one["id"], one["time"], one["incident"], one["kind"], one["words"], str(data.get("state", "")))


def _moment(text: str) -> float:
    """Reads RFC 3339 as Go writes it: with up to nine digits of a second, of which Python keeps six."""
    return datetime.fromisoformat(text).timestamp()

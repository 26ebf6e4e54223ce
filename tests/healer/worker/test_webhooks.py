"""Webhooks as they come: too large, cut by Alertmanager, sent again long after. None of it loses or begins anything."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from vllm_healer.journal import Journal
from vllm_healer.model import Health, IncidentState, RunState
from vllm_healer.web import WebDeps, create_app

AUTHORIZED = {"Authorization": "Bearer correct-horse"}
LIMIT = 2000  # bytes of a body


@pytest.fixture
def client(world: Any) -> FlaskClient:
    """The webhook of the world's healer."""
    config = replace(world.config, max_body_bytes=LIMIT)
    deps = WebDeps(config, world.journal, world.worker, world.clock, world.own, lambda _: ("correct-horse",))
    return create_app(deps).test_client()


def notify(client: FlaskClient, *alerts: Any, truncated: int = 0, padding: int = 0) -> int:
    """The status of Alertmanager's notification about these alerts."""
    body = {"version": "4", "truncatedAlerts": truncated, "alerts": [as_sent(alert) for alert in alerts]}
    return client.post("/alerts", data=json.dumps(body) + " " * padding, headers=AUTHORIZED).status_code


def as_sent(alert: Any) -> dict[str, object]:
    return {
        "status": "firing" if alert.firing else "resolved",
        "labels": alert.labels,
        "annotations": {},
        "startsAt": alert.starts_at,
        "fingerprint": alert.fingerprint,
    }


def exit_with_alert(world: Any) -> Any:
    """The server's process has ended, and Alertmanager says so."""
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire_unheard("VllmDown")
    return world.alerts[-1]


def firing(journal: Journal) -> set[str]:
    return {alert.name for incident in journal.open_incidents() for alert in incident.alerts if alert.firing}


def test_what_is_refused_as_too_large_is_counted_and_made_up_for(world: Any, client: FlaskClient) -> None:
    down = exit_with_alert(world)
    assert notify(client, down, padding=LIMIT) == 413
    assert world.own.registry.get_sample_value("vllm_healer_webhook_requests_total", {"code": "413"}) == 1
    assert world.journal.unassigned() == ()
    world.run(100)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}


def test_an_alert_that_alertmanager_has_cut_off_is_not_over(world: Any, client: FlaskClient) -> None:
    world.run(16)
    for name in ("VllmQueueOverload", "VllmKvCacheFull"):
        world.fire_unheard(name)
    _, *both = world.alerts
    assert notify(client, *both) == 200
    world.run(5)
    assert notify(client, both[0], truncated=1) == 200
    assert notify(client, truncated=2) == 200
    world.run(60)
    assert firing(world.journal) == {"VllmQueueOverload", "VllmKvCacheFull"}
    assert world.states() == {IncidentState.OPEN: 1}


def test_an_old_notification_that_comes_again_does_nothing(world: Any, client: FlaskClient) -> None:
    """As from a proxy that repeats, or a person who plays a record again: Alertmanager itself knows of nothing."""
    down = exit_with_alert(world)
    assert notify(client, down) == 200
    world.run(60)
    world.forget()
    assert notify(client, replace(down, firing=False)) == 200
    world.run(300)
    assert (world.server.restarts, world.states()) == (1, {IncidentState.HEALED: 1})
    for _ in range(3):
        assert notify(client, down) == 200
        world.run(300)
    assert world.server.restarts == 1
    assert world.journal.open_incidents() == ()
    assert world.journal.failing() == {}


def test_the_end_of_an_alert_that_comes_again_ends_nothing_new(world: Any, client: FlaskClient) -> None:
    down = exit_with_alert(world)
    ended = replace(down, firing=False, starts_at="2026-11-20T10:00:00Z", fingerprint="another")
    assert notify(client, ended) == 200
    assert notify(client, down) == 200
    assert notify(client, ended) == 200
    world.run(60)
    assert world.server.restarts == 1

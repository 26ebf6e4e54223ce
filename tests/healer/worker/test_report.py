"""What rules and boards read of the healer: its incidents, who needs a person, until when it works on a server."""

from __future__ import annotations

from typing import Any

import pytest

from vllm_healer.config import Mode
from vllm_healer.errors import PermanentError
from vllm_healer.journal import IncidentSummary
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import Health, IncidentState, RunState, Target
from vllm_healer.worker.report import choose_shown, needing

SERVER = "gpu1:8000"
STALLED = {"server": SERVER, "cause": "engine_stalled", "remediation": "restart_engine"}


def series(own: HealerMetrics, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Labels -> value of each sample that is there."""
    found = (sample for family in own.registry.collect() for sample in family.samples)
    return {tuple(sorted(sample.labels.items())): sample.value for sample in found if sample.name == name}


def incidents(world: Any, what: str) -> list[tuple[dict[str, str], float]]:
    found = series(world.own, f"vllm_healer_incident_{what}_timestamp_seconds")
    return [(dict(labels), value) for labels, value in found.items()]


def needs(world: Any) -> list[dict[str, str]]:
    return [dict(labels) for labels in series(world.own, "vllm_healer_needs_person")]


def working_until(world: Any) -> float | None:
    until: float | None = world.own.registry.get_sample_value(
        "vllm_healer_working_until_timestamp_seconds", {"server": SERVER}
    )
    return until


def fail(world: Any, how: str = "VllmEngineStalled") -> None:
    """A restart that does not help: the deadline of ten minutes passes."""
    world.run(16)
    world.hang()
    world.server.heals = False
    world.fire(how)
    world.run(700)


def come_back(world: Any) -> None:
    world.stalled, world.server.answers, world.server.health = 0.0, True, Health.OK


def test_an_incident_is_told_with_its_cause_its_remedy_and_its_end(world: Any) -> None:
    world.run(16)
    world.hang()
    world.server.heals = False
    began = world.clock.wall
    world.fire("VllmEngineStalled")
    world.run(3)
    [(labels, started)] = incidents(world, "started")
    assert labels == {**STALLED, "incident": "1", "state": "verifying"}
    assert started == pytest.approx(began, abs=1)
    assert incidents(world, "ended") == []
    come_back(world)
    world.run(60)
    [(labels, _)] = incidents(world, "started")
    [(ended_labels, ended)] = incidents(world, "ended")
    assert labels == ended_labels == {**STALLED, "incident": "1", "state": "healed"}
    assert began < ended < world.clock.wall


def test_it_works_until_the_deadline_of_the_server_and_no_longer_than_it_takes(world: Any) -> None:
    world.run(16)
    assert working_until(world) == 0.0
    world.hang()
    world.server.heals = False
    began = world.clock.wall
    world.fire("VllmEngineStalled")
    world.run(3)
    assert working_until(world) == pytest.approx(began + 600.0, abs=2)
    world.run(300)
    assert working_until(world) == pytest.approx(began + 600.0, abs=2)
    come_back(world)
    world.run(10)
    assert working_until(world) == 0.0


def test_the_deadline_is_the_same_after_a_restart_of_the_healer_and_when_the_clock_was_set(world: Any) -> None:
    world.run(16)
    world.hang()
    world.server.heals = False
    began = world.clock.wall
    world.fire("VllmEngineStalled")
    world.run(30)
    world.worker = world.new_worker()
    world.run(1)
    assert working_until(world) == pytest.approx(began + 600.0, abs=2)
    world.clock.wall += 3600.0
    world.run(1)
    assert working_until(world) == pytest.approx(began + 3600.0 + 600.0, abs=2)


def test_a_start_by_its_supervisor_is_waited_for_as_long_as_a_start_may_take(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.STARTING, Health.REFUSED
    world.fire("VllmDown")
    began = world.clock.wall
    world.run(20)
    assert working_until(world) == pytest.approx(began + 600.0, abs=2)
    [(labels, _)] = incidents(world, "started")
    assert (labels["cause"], labels["remediation"], labels["state"]) == ("starting", "notify_only", "verifying")
    assert needs(world) == []


def test_what_is_only_watched_is_not_among_what_is_worked_on(world: Any) -> None:
    watched = Target("gpu2:8000", "http://127.0.0.1:8002", "pool", "dry_run")
    world.server.observe(watched)
    world.config = world.config.__class__(targets=(*world.config.targets, watched), mode=Mode.ACT)
    world.worker = world.new_worker()
    world.worker._report.publish()
    assert list(series(world.own, "vllm_healer_working_until_timestamp_seconds")) == [(("server", SERVER),)]


def test_a_failed_healing_needs_a_person_until_the_server_works(world: Any) -> None:
    fail(world)
    assert needs(world) == [{"server": SERVER, "cause": "engine_stalled"}]
    assert working_until(world) == 0.0
    world.worker = world.new_worker()
    world.run(1)
    assert needs(world) == [{"server": SERVER, "cause": "engine_stalled"}]
    world.resolve()
    come_back(world)
    world.run(20)
    assert needs(world) == []
    assert any("no person is needed for it any more: gpu1:8000 answers again" in line for line in world.history())


def test_a_failed_healing_needs_nobody_once_a_person_has_said_resume(world: Any) -> None:
    fail(world)
    world.resolve()
    world.journal.resume("anna: I know", world.clock.now())
    world.run(1)
    assert needs(world) == []


def test_a_crash_loop_needs_a_person_although_no_action_was_taken(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.STARTING, Health.REFUSED
    world.fire("VllmDown")
    for start in range(1, 5):
        world.server.last_start = float(start)
        world.run(200)
    assert world.states() == {IncidentState.FAILED: 1}
    assert needs(world) == [{"server": SERVER, "cause": "starting"}]


def test_a_refusal_needs_a_person_at_once_and_nobody_once_it_may_begin(world: Any) -> None:
    world.set_config(mode=Mode.DRY_RUN)
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(3)
    assert needs(world) == [{"server": SERVER, "cause": "engine_stalled"}]
    world.set_config(mode=Mode.ACT)
    world.run(3)
    assert needs(world) == []


def test_a_refusal_that_passes_needs_nobody(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.watchdog = False
    world.alerts = [kept for kept in world.alerts if kept.name != "Watchdog"]
    world.run(10)
    assert any(line.startswith("refusal") and "blind" in line for line in world.history())
    assert needs(world) == []


def test_an_action_that_cannot_be_done_needs_a_person(world: Any) -> None:
    world.run(16)
    world.hang()
    world.server.start_fails = PermanentError("no such program")
    world.fire("VllmEngineStalled")
    world.run(5)
    assert needs(world) == [{"server": SERVER, "cause": "engine_stalled"}]


def test_nobody_is_needed_for_a_server_that_is_well(world: Any) -> None:
    world.run(16)
    world.fire("VllmCanaryFailing")
    world.run(60)
    assert needs(world) == []
    assert working_until(world) == 0.0


def test_an_incident_of_a_server_that_is_not_listed_is_not_told(world: Any) -> None:
    world.run(16)
    world.fire("VllmDown", "stranger:1")
    world.run(10)
    assert incidents(world, "started") == []
    assert needs(world) == []


def test_twenty_ended_incidents_are_told_and_every_open_one() -> None:
    def one(number: int, closed: float | None) -> IncidentSummary:
        return IncidentSummary(number, SERVER, IncidentState.HEALED, "x", "y", 0.0, closed, False, "")

    every = [one(1, None), *(one(number, 10.0) for number in range(2, 40)), one(40, None)]
    assert [each.id for each in choose_shown(every)] == [1, 40, *range(20, 40)]


def test_a_need_without_a_cause_has_a_name() -> None:
    failed = IncidentSummary(1, SERVER, IncidentState.FAILED, "", "", 0.0, 1.0, True, "")
    assert needing([failed]) == {(SERVER, "unknown")}


def test_counters_of_listed_servers_are_there_from_the_start(world: Any) -> None:
    value = world.own.registry.get_sample_value
    assert value("vllm_healer_refusals_total", {"reason": "cooldown", "server": SERVER}) == 0
    done = {"remediation": "restart_engine", "outcome": "done", "server": SERVER}
    assert value("vllm_healer_actions_total", done) == 0

"""The loop around the pure stages, with a real journal and a world in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vllm_healer.config import Limits, Mode
from vllm_healer.config.windows import Window
from vllm_healer.errors import NotWaiting, PermanentError, TemporaryError
from vllm_healer.ledger import Consent
from vllm_healer.model import Health, IncidentState, Look, ProcessRef, RunState, Target


def test_a_stalled_engine_is_restarted_once_and_verified(world: Any) -> None:
    world.run(16)  # long enough to have seen it ready
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(3)
    world.stalled = 0.0
    world.run(60)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}
    assert any("restart_engine" in line and line.startswith("intent") for line in world.history())


def test_evidence_is_kept_before_a_restart_and_once(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(30)
    assert (world.evidence, world.server.restarts) == ([0], 1)


def test_the_alert_that_lingers_after_the_healing_opens_nothing(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(3)
    world.stalled = 0.0
    world.fire("VllmEngineStalled")  # Alertmanager resolves late and repeats
    world.run(100)
    assert world.server.restarts == 1
    assert sum(world.states().values()) == 1


def test_three_deliveries_of_one_webhook_are_one_restart(world: Any) -> None:
    world.run(16)
    world.hang()
    for _ in range(3):
        world.fire("VllmEngineStalled")
    world.run(3)
    world.fire("VllmEngineStalled")
    world.stalled = 0.0
    world.run(60)
    assert world.server.restarts == 1


def test_two_alerts_of_one_cause_get_one_action(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.fire("VllmCanaryFailing")
    world.run(3)
    world.stalled = 0.0
    world.run(60)
    assert world.server.restarts == 1
    assert sum(world.states().values()) == 1


def test_a_healthy_server_is_left_alone(world: Any) -> None:
    world.run(16)
    world.fire("VllmCanaryFailing")
    world.run(60)
    assert world.server.restarts == 0
    assert not any(line.startswith("intent") for line in world.history())


def test_nothing_is_done_in_dry_run_and_the_journal_says_what_would_have_been(world: Any) -> None:
    world.set_config(mode=Mode.DRY_RUN)
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(30)
    assert world.server.restarts == 0
    assert any(line.startswith("refusal") and "would have run restart_engine" in line for line in world.history())


def test_nothing_is_done_while_paused(world: Any) -> None:
    world.run(16)
    world.journal.pause("anna: upgrading the driver", world.clock.now())
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(30)
    assert world.server.restarts == 0
    assert any("upgrading the driver" in line for line in world.history() if line.startswith("refusal"))


def test_prometheus_down_while_deciding_means_no_action_and_says_so(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.prometheus_down = True
    world.fire("VllmDown")
    world.run(20)
    assert world.server.restarts == 0
    assert any(line.startswith("refusal") and "Prometheus" in line for line in world.history())


def test_an_alert_resolved_before_it_was_acted_on_is_not_acted_on(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.forget()
    world.run(60)
    assert world.server.restarts == 0
    world.resolve()
    world.run(240)
    assert world.server.restarts == 0
    assert world.states() == {IncidentState.RESOLVED: 1}


def test_a_server_that_is_not_listed_is_only_reported(world: Any) -> None:
    world.fire("VllmDown", server="gpu9:8000")
    world.run(20)
    assert world.server.restarts == 0
    assert any("gpu9:8000 is not listed" in line for line in world.history())


def test_what_a_person_stopped_stays_stopped(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.STOPPED, Health.REFUSED
    world.fire("VllmDown")
    world.run(60)
    assert world.server.restarts == 0
    assert any("by a person" in line for line in world.history())


def test_a_dead_server_that_nobody_restarts_is_restarted(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(20)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}


def test_a_server_that_its_supervisor_restarts_is_only_watched(world: Any) -> None:
    world.run(16)
    world.server.life += 1
    world.server.started = world.clock.wall
    world.server.health = Health.REFUSED
    world.fire("VllmDown")
    world.run(30)
    world.server.health = Health.OK
    world.run(10)
    assert world.server.restarts == 0
    assert world.states() == {IncidentState.HEALED: 1}


def test_a_start_that_is_watched_is_watched_on_by_a_restarted_healer(world: Any) -> None:
    world.run(16)
    world.server.life += 1
    world.server.started = world.clock.wall
    world.server.health = Health.REFUSED
    world.fire("VllmDown")
    world.run(10)
    assert world.states() == {IncidentState.VERIFYING: 1}
    world.worker = world.new_worker()
    world.run(10)
    assert world.states() == {IncidentState.VERIFYING: 1}
    world.server.health = Health.OK
    world.run(10)
    assert world.server.restarts == 0
    assert world.states() == {IncidentState.HEALED: 1}


def test_a_watched_start_that_ends_again_is_considered_again(world: Any) -> None:
    world.run(16)
    world.server.started = world.clock.wall
    world.server.health = Health.REFUSED
    world.fire("VllmDown")
    world.run(10)
    world.server.state = RunState.EXITED
    world.run(30)
    assert world.server.restarts == 1


def test_orphans_are_removed_before_the_server_is_started(world: Any) -> None:
    world.run(16)
    world.server.orphans = (ProcessRef(77, 1, "engine_core", "VLLM::EngineCore"),)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmProcessOrphaned")
    world.fire("VllmDown")
    world.run(30)
    assert (world.server.reaped, world.server.restarts) == (1, 1)
    assert world.states() == {IncidentState.HEALED: 1}


def test_a_healer_killed_in_the_middle_of_a_restart_finishes_it_once(world: Any) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        world.server.state = RunState.STOPPED
        raise Killed

    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.server.interrupt = die
    try:
        world.run(3)
    except Killed:
        world.server.interrupt = None
    world.worker = world.new_worker()
    world.stalled = 0.0
    world.run(60)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}
    assert any("going on with action 1 (steps taken so far: stop)" in line for line in world.history())


def test_a_restart_that_does_not_help_is_said_and_not_repeated_at_once(world: Any) -> None:
    world.server.heals = False
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(700)
    assert world.server.restarts == 1
    assert IncidentState.FAILED in world.states()
    assert any("a person is needed" in line for line in world.history())


def test_a_wall_clock_that_steps_back_ten_minutes_forgets_no_cooldown(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.set_config(limits=Limits(cooldown_seconds={"restart_engine": 300.0}))
    world.run(20)
    world.clock.wall -= 600
    world.run(130)  # past the echo of the healed incident
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.run(60)
    assert world.server.restarts == 1
    assert any(line.startswith("refusal") and "s left" in line for line in world.history())


def test_a_restart_that_proved_itself_rests_for_what_it_took_and_a_minute(world: Any) -> None:
    """The fake server is back within seconds; before it ever was, a restart would rest for five minutes."""
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(150)  # past the echo of the healed incident
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.run(30)
    assert world.server.restarts == 2


def test_the_fourth_restart_in_four_hours_waits_for_a_person(world: Any) -> None:
    """Each of the three helped, and the server ended again."""
    world.run(16)
    world.fire("VllmDown")
    for _ in range(4):
        world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
        world.run(300)
    assert world.server.restarts == 3
    assert any("refused: breaker, restart_engine ran on gpu1:8000 3 times" in line for line in world.history())
    world.worker = world.new_worker()
    world.run(60)
    assert world.server.restarts == 3
    world.journal.resume("anna: it was the power supply", world.clock.now())
    world.run(60)
    assert world.server.restarts == 4


def test_a_lost_webhook_is_made_up_for_by_asking_alertmanager(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire_unheard("VllmDown")
    world.run(45)
    assert world.server.restarts == 0  # Alertmanager may be about to send it, or to find that it is muted
    world.run(60)
    assert world.server.restarts == 1


def test_a_missing_watchdog_is_told_once_by_the_fallback_channel(world: Any) -> None:
    world.alerts = []
    world.run(400)
    assert len(world.told) == 1
    assert "no Watchdog alert" in world.told[0]


def test_the_watchdog_of_another_prometheus_is_none(world: Any) -> None:
    """prometheus-community/helm-charts#466: a shared Alertmanager has kube-prometheus' alert of the same name."""
    world.run(16)
    world.alerts[0].labels["part_of"] = "kube-prometheus"
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(400)
    assert world.server.restarts == 0
    assert any(line.startswith("refusal") and 'none with part_of="vllm-monitor"' in line for line in world.history())
    assert len(world.told) == 1


def test_what_cannot_be_done_now_is_tried_again_without_a_second_intent(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.server.start_fails = TemporaryError("supervisord is being reloaded", delay=5.0)
    world.run(20)
    world.server.start_fails = None
    world.stalled = 0.0
    world.run(30)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}
    assert sum(line.startswith("intent") for line in world.history()) == 1


def test_a_server_that_our_own_restart_left_stopped_is_not_taken_for_stopped_by_a_person(world: Any) -> None:
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")
    world.server.start_fails = PermanentError("the program's command cannot be run")
    world.run(5)
    assert IncidentState.FAILED in world.states()
    world.server.start_fails = None
    world.resolve()
    world.fire("VllmDown")
    world.run(400)
    assert world.server.restarts == 1


def test_a_failed_restart_holds_the_pool_back_until_the_server_answers_again(world: Any) -> None:
    world.run(16)
    world.server.heals = False
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(700)
    assert world.journal.unsettled("gpu1:8000")
    world.resolve()
    world.server.health, world.server.answers = Health.OK, True  # a person repaired it
    world.run(20)
    assert not world.journal.unsettled("gpu1:8000")
    assert any("is settled: gpu1:8000 answers again" in line for line in world.history())


def test_a_failed_restart_of_a_model_that_completes_no_text_counts_no_more_when_it_is_healthy(world: Any) -> None:
    """Else five in a row, months apart, would be five that did not help."""
    world.run(16)
    world.server.heals, world.server.completes = False, False
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(700)
    assert world.journal.unsettled("gpu1:8000")
    world.resolve()
    world.server.health = Health.OK
    world.run(20)
    assert not world.journal.unsettled("gpu1:8000")


def test_a_server_whose_supervisor_is_silent_is_left_alone(world: Any) -> None:
    world.run(16)
    world.server.blind, world.server.health = True, Health.REFUSED
    world.fire("VllmDown")
    world.run(30)
    assert world.server.restarts == 0
    assert any("supervisord does not answer" in line for line in world.history())


def test_a_storm_of_alerts_of_strangers_does_not_hold_up_a_listed_server(world: Any) -> None:
    world.run(16)
    storm = tuple(world.alert("VllmDown", server=f"stranger{number}:8000") for number in range(1000))
    world.journal.record_alerts(storm, world.clock.now())
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(8)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.OPEN: 50, IncidentState.HEALED: 1}
    assert len(world.journal.unassigned()) == 950


def test_a_step_that_fails_is_tried_again_in_its_turn_and_not_at_once(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job's end wakes the worker: it must not spin on what is broken."""
    seen: list[float] = []

    def broken(target: Target, canary: bool) -> Look:
        seen.append(world.clock.boot)
        raise LookupError("a defect")

    world.run(16)
    world.server.state = RunState.EXITED
    world.set_config(reconcile_seconds=1000.0)
    world.run(1)
    monkeypatch.setattr(world.server, "look", broken)
    world.fire("VllmDown")
    world.run(12)
    assert [moment - seen[0] for moment in seen] == [0.0, 5.0, 10.0]


def test_a_target_name_with_spaces_is_healed_like_any_other(world: Any) -> None:
    name = "gpu 1 :8000"
    world.set_config(targets=(replace(world.config.targets[0], server=name),))
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown", server=name)
    world.run(20)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}


def test_a_slow_server_that_answers_late_has_come_back_all_the_same(world: Any) -> None:
    """The first tokens of a cold server take longer than a canary that looks for a hang may wait."""
    world.run(16)
    world.server.answer_seconds = 7.0
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(30)
    assert world.server.restarts == 1
    assert world.states() == {IncidentState.HEALED: 1}


def test_in_maintenance_nothing_is_done_until_it_ends(world: Any) -> None:
    world.run(16)
    world.journal.maintain("pool pool", 3600.0, "anna: new driver", world.clock.now())
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(120)
    world.worker = world.new_worker()
    world.run(120)
    assert world.server.restarts == 0
    assert any("refused: maintenance, gpu1:8000 is in maintenance: anna: new driver" in x for x in world.history())
    world.journal.maintain("pool pool", 0.0, "anna: done", world.clock.now())
    world.run(10)
    assert world.server.restarts == 1


def needing_approval(world: Any) -> None:
    world.set_config(limits=Limits(approval=(Window(remediations=("restart_engine",)),)))
    world.run(16)
    world.hang()
    world.fire("VllmEngineStalled")


def test_a_restart_that_needs_approval_waits_for_it_and_is_then_done_once(world: Any) -> None:
    needing_approval(world)
    world.run(30)
    assert world.server.restarts == 0
    assert any(line.startswith("approval: approval 1 is asked for: restart_engine") for line in world.history())
    world.worker = world.new_worker()  # the request outlives the healer
    world.journal.answer(1, Consent.APPROVED, "anna: seen", world.clock.now())
    world.run(10)
    assert world.server.restarts == 1
    world.stalled = 0.0
    world.run(60)
    assert world.states() == {IncidentState.HEALED: 1}


def test_a_restart_that_a_person_refused_is_not_done(world: Any) -> None:
    needing_approval(world)
    world.run(10)
    world.journal.answer(1, Consent.REFUSED, "anna: I am at it", world.clock.now())
    world.run(2000)
    assert world.server.restarts == 0
    assert any("refused by anna: I am at it" in line for line in world.history())
    assert len([line for line in world.history() if line.startswith("approval") and "is asked for" in line]) == 1


def test_an_approval_that_comes_too_late_is_asked_for_anew(world: Any) -> None:
    needing_approval(world)
    world.run(950)
    with pytest.raises(NotWaiting, match="has expired"):
        world.journal.answer(1, Consent.APPROVED, "anna", world.clock.now())
    world.journal.answer(2, Consent.APPROVED, "anna", world.clock.now())
    world.run(10)
    assert world.server.restarts == 1


def test_an_approval_of_a_process_that_another_restarted_meanwhile_is_worth_nothing(world: Any) -> None:
    needing_approval(world)
    world.run(10)
    world.server.life += 1
    world.journal.answer(1, Consent.APPROVED, "anna", world.clock.now())
    world.run(30)
    assert world.server.restarts == 0


def test_gives_up_on_a_server_whose_starts_all_fail_until_a_person_resumes(world: Any) -> None:
    """H03: with the brakes set wide, a server that is down, and over restarts of the healer."""
    world.set_config(limits=Limits(cooldown_seconds={"restart_engine": 4.0}, budget_per_hour=1000, breaker_after=1000))
    world.server.heals = False
    world.run(16)
    world.fire("VllmDown")

    def keep_failing(times: int) -> None:
        for _ in range(times):
            world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
            world.run(310)  # a failed incident is opened again after 300 s

    keep_failing(4)
    world.worker = world.new_worker()
    keep_failing(4)
    assert world.server.restarts == 5
    assert any("refused: gave_up, restart_engine did not help gpu1:8000 5 times in a row" in x for x in world.history())
    given_up = {"server": "gpu1:8000", "remediation": "restart_engine"}
    assert world.worker._deps.own.registry.get_sample_value("vllm_healer_given_up", given_up) == 1
    world.journal.resume("anna: the model files are back", world.clock.now())
    world.server.heals = True
    world.server.state = RunState.EXITED
    world.run(40)
    assert world.server.restarts == 6
    assert world.worker._deps.own.registry.get_sample_value("vllm_healer_given_up", given_up) is None


def test_two_servers_of_a_pool_that_are_down_do_not_wait_for_each_other(world: Any) -> None:
    """The first one's start takes long and locks the pool; the second one cannot be made less available."""
    second = replace(world.config.targets[0], server="gpu2:8000", url="http://127.0.0.1:8002")
    world.set_config(targets=(*world.config.targets, second))
    world.server.heals = False
    world.run(16)
    world.server.state, world.server.health = RunState.EXITED, Health.REFUSED
    world.fire("VllmDown")
    world.run(3)
    assert world.server.restarts == 1
    world.server.state = RunState.EXITED  # both names lead to the one fake server
    world.fire("VllmDown", server="gpu2:8000")
    world.run(3)
    assert world.server.restarts == 2


OLD = (ProcessRef(50, 1, "api_server", "vllm serve"), ProcessRef(51, 1, "engine_core", "VLLM::EngineCore"))


def test_an_old_server_that_hangs_is_ended_and_the_supervised_one_started(world: Any) -> None:
    """S02: its supervisord was killed and started again, and the one that is supervised could not have the port."""
    world.run(16)
    world.server.state, world.server.unsupervised = RunState.FATAL, OLD
    world.hang()
    world.fire("VllmEngineStalled")
    world.run(10)
    assert (world.server.restarts, world.server.reaped) == (1, 1)
    assert any("pid 50 of an earlier start lives on" in line for line in world.history() if line.startswith("result"))
    assert world.states() == {IncidentState.HEALED: 1}


def test_an_old_server_that_serves_is_left_alone_and_named(world: Any) -> None:
    world.run(16)
    world.server.state, world.server.unsupervised = RunState.FATAL, OLD
    world.fire("VllmCanaryFailing")
    world.run(30)
    assert (world.server.restarts, world.server.reaped) == (0, 0)
    words = (
        "what answers may not be the supervised server: pid 50 of an earlier start lives on, unknown to its supervisor"
    )
    assert any(words in line for line in world.history() if line.startswith("diagnosis: none: it looks well"))


def test_what_an_old_server_answers_makes_no_supervised_one_ready(world: Any) -> None:
    world.server.unsupervised = OLD
    world.run(40)
    assert not world.journal.memory("gpu1:8000").seen_ready

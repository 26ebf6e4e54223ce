"""From alerts to the decision, through every pure stage: the stories that the loop was built for."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.config import Config, Mode
from vllm_healer.ledger import Ledger
from vllm_healer.model import NO_INCARNATION, Facts, Incident, IncidentState, Plan, Refusal, RunState, Signal
from vllm_healer.pipeline.correlate import Move, correlate
from vllm_healer.pipeline.decide import decide_on
from vllm_healer.progress import SILENT, SILENT_LIMIT


def decide(
    incident: Incident, facts: Facts, ledger: Ledger | None = None, mode: Mode = Mode.ACT
) -> tuple[Plan, Refusal | None]:
    decision = decide_on(
        incident, facts, Config(mode=mode, remediations=dict.fromkeys(("restart_engine", "reap_orphans"), Mode.ACT))
    )
    return decision.plan, decision.against(ledger or Ledger())


def test_a_hung_server_that_looks_healthy_is_restarted(cases: ModuleType) -> None:
    plan, refusal = decide(cases.incident(), cases.facts())
    assert (plan.remediation, refusal) == ("restart_engine", None)


def test_two_alerts_of_one_cause_restart_it_once(cases: ModuleType) -> None:
    alerts = (cases.alert("VllmEngineStalled"), cases.alert("VllmCanaryFailing"))
    (group,) = correlate(alerts, [], {}, cases.NOW, 120.0)
    assert group.move is Move.NEW
    incident = Incident(7, group.server, IncidentState.OPEN, cases.NOW, group.alerts)
    assert decide(incident, cases.facts())[1] is None
    taken = cases.earlier(ago=1.0, finished=False, recovered=False)
    assert decide(incident, cases.facts(), Ledger(entries=(taken,)))[1] == Refusal(
        "pool_locked", "action 1 (restart_engine on gpu1:8000) in pool chat is not verified yet"
    )


def test_a_dry_run_says_what_it_would_have_done(cases: ModuleType) -> None:
    assert decide(cases.incident(), cases.facts(), mode=Mode.DRY_RUN)[1] == Refusal(
        "dry_run", "dry run: would have run restart_engine on gpu1:8000, everything else allowed it"
    )


def test_a_saturated_server_is_told_of_and_left_alone(cases: ModuleType) -> None:
    busy = cases.signals(stalled=0.0, progress_age=1.0, waiting=412.0)
    facts = cases.facts(look=cases.SATURATED, signals=busy, still_firing=frozenset({"VllmQueueOverload"}))
    plan, refusal = decide(cases.incident("VllmQueueOverload"), facts)
    assert (plan.remediation, plan.destructive, refusal) == ("notify_only", False, None)
    assert "shed load or add a replica" in plan.reason


def test_a_long_prefill_is_left_alone(cases: ModuleType) -> None:
    facts = cases.facts(
        signals=cases.signals(stalled=0.0, progress_age=3.0), still_firing=frozenset({"VllmCanaryFailing"})
    )
    assert decide(cases.incident("VllmCanaryFailing"), facts)[0].destructive is False


def test_a_server_that_nobody_listed_is_only_reported(cases: ModuleType) -> None:
    facts = cases.facts(target=None, target_problem="gpu9:8000 is not listed in healer.yml")
    plan, refusal = decide(replace(cases.incident(), server="gpu9:8000"), facts)
    assert (plan.destructive, plan.diagnosis.evidence, refusal) == (
        False,
        "gpu9:8000 is not listed in healer.yml",
        None,
    )


def test_what_a_person_stopped_stays_stopped(cases: ModuleType) -> None:
    stopped = cases.supervisor(RunState.STOPPED, incarnation=NO_INCARNATION)
    facts = cases.facts(look=cases.REFUSED, supervisor=stopped, still_firing=frozenset({"VllmDown"}))
    plan, refusal = decide(cases.incident("VllmDown"), facts)
    assert plan.remediation == "restart_engine"
    assert refusal is not None
    assert refusal.reason == "intended_state"


def test_with_prometheus_blind_nothing_is_done(cases: ModuleType) -> None:
    blind = ("Prometheus: connection refused",)
    dead = cases.supervisor(RunState.EXITED)
    down = cases.facts(
        signals=None, blind=blind, look=cases.REFUSED, supervisor=dead, still_firing=frozenset({"VllmDown"})
    )
    assert decide(cases.incident("VllmDown"), down)[1] == Refusal(
        "blind", "did not answer: Prometheus: connection refused"
    )
    assert decide(cases.incident(), cases.facts(signals=None, blind=blind))[0].destructive is False


def test_a_server_that_its_supervisor_restarted_is_waited_for(cases: ModuleType) -> None:
    facts = cases.facts(look=cases.REFUSED, supervisor=cases.supervisor(RunState.STARTING), first_seen=cases.at(-12.0))
    plan, refusal = decide(cases.incident("VllmDown"), facts)
    assert (plan.remediation, plan.verify, refusal) == ("notify_only", True, None)


def test_orphans_are_removed_before_the_server_is_started(cases: ModuleType) -> None:
    left = cases.supervisor(RunState.FATAL, orphans=(cases.ENGINE, cases.WORKER))
    facts = cases.facts(
        look=cases.REFUSED, supervisor=left, still_firing=frozenset({"VllmDown", "VllmProcessOrphaned"})
    )
    plan, refusal = decide(cases.incident("VllmDown", "VllmProcessOrphaned"), facts)
    assert (plan.remediation, refusal) == ("reap_orphans", None)
    clean = replace(facts, supervisor=cases.supervisor(RunState.FATAL))
    reaped = Ledger(entries=(cases.earlier(ago=10.0, remediation="reap_orphans"),))
    plan, refusal = decide(cases.incident("VllmDown"), clean, reaped)
    assert (plan.remediation, refusal) == ("restart_engine", None)


def test_a_dead_server_without_an_alert_that_may_be_healed_is_left_alone(cases: ModuleType) -> None:
    unhealable = (cases.alert("VllmDown", healable="false"),)
    incident = Incident(7, cases.SERVER, IncidentState.OPEN, cases.at(-60.0), unhealable)
    facts = cases.facts(
        look=cases.REFUSED, supervisor=cases.supervisor(RunState.FATAL), still_firing=frozenset({"VllmDown"})
    )
    assert decide(incident, facts)[1] == Refusal(
        "not_firing", "none of the incident's alerts supports an action on engine_dead"
    )


def test_a_frozen_api_server_is_restarted_though_it_looks_saturated(cases: ModuleType) -> None:
    more = {SILENT: Signal(26.0, 4.0), SILENT_LIMIT: Signal(20.0, 4.0)}
    facts = cases.facts(
        look=replace(cases.SATURATED, canary=None), signals=replace(cases.signals(stalled=0.0), more=more),
        was_ready=True, still_firing=frozenset({"VllmApiServerFrozen"}),
    )  # fmt: skip
    plan, refusal = decide(cases.incident("VllmApiServerFrozen"), facts)
    assert (plan.remediation, plan.diagnosis.cause, refusal) == ("restart_engine", "api_server_frozen", None)


def test_a_death_on_a_faulty_gpu_is_left_to_a_person_with_what_to_do(cases: ModuleType) -> None:
    facts = replace(cases.died_of("gpu_fault"), still_firing=frozenset({"VllmDown"}))
    plan, refusal = decide(cases.incident("VllmDown"), facts)
    assert (plan.remediation, plan.destructive, refusal) == ("notify_only", False, None)
    assert plan.reason.startswith("take the GPU out of use")


def test_a_death_whose_reason_is_known_is_healed_under_its_name(cases: ModuleType) -> None:
    facts = replace(cases.died_of("oom_kill"), still_firing=frozenset({"VllmDown"}))
    plan, refusal = decide(cases.incident("VllmDown"), facts)
    assert (plan.remediation, plan.diagnosis.cause, refusal) == ("restart_engine", "oom_kill", None)

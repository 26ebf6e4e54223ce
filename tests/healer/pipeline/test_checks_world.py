"""Every reason in the world not to act, alone: the rest of the case is for acting."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.config import Limits
from vllm_healer.ledger import Ledger
from vllm_healer.model import Diagnosis, Facts, Incarnation, Plan, Refusal, RunState, Signal, Signals

LIMITS = Limits()


def test_refuses_a_server_that_is_not_listed(cases: ModuleType) -> None:
    facts = cases.facts(target=None, target_problem="gpu9:8000 is not listed in healer.yml (targets: gpu1:8000)")
    assert cases.judge(facts, plan=cases.plan(server="gpu9:8000")) == Refusal(
        "unlisted_target", "gpu9:8000 is not listed in healer.yml (targets: gpu1:8000)"
    )


def test_refuses_when_the_target_is_another_server_than_the_plan_names(cases: ModuleType) -> None:
    assert cases.judge(plan=cases.plan(server="gpu9:8000")) == Refusal(
        "unlisted_target", "gpu9:8000 is not listed in healer.yml"
    )


def test_an_empty_name_is_not_every_server(cases: ModuleType) -> None:
    refusal = cases.judge(cases.facts(target=None), plan=cases.plan(server=""))
    assert refusal == Refusal("unlisted_target", "a nameless server is not listed in healer.yml")


@pytest.mark.parametrize("cause", ["overload", "starting", "unknown", "none"])
def test_refuses_to_restart_for_a_cause_that_no_restart_cures(cases: ModuleType, cause: str) -> None:
    plan = cases.plan(diagnosis=Diagnosis(cause, "", frozenset({"VllmEngineStalled"})))
    assert cases.judge(plan=plan) == Refusal(
        "not_destructive_cause", f"restart_engine does not cure the cause '{cause}'"
    )


def test_refuses_when_prometheus_does_not_answer(cases: ModuleType) -> None:
    facts = cases.facts(signals=None, blind=("Prometheus: connection refused",))
    assert cases.judge(facts) == Refusal("blind", "did not answer: Prometheus: connection refused")


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("look", "not read: the healer's own look"),
        ("supervisor", "not read: the supervisor"),
        ("signals", "not read: Prometheus"),
    ],
)
def test_refuses_when_a_source_was_not_read(cases: ModuleType, missing: str, words: str) -> None:
    assert cases.judge(cases.facts(**{missing: None})) == Refusal("blind", words)


def test_refuses_when_a_sample_is_older_than_three_scrapes(cases: ModuleType) -> None:
    facts = cases.facts(signals=Signals(stalled=cases.signals(age=41.0).stalled))
    assert cases.judge(facts) == Refusal("stale_data", "samples too old (15 s allowed): stalled 41 s")


def test_refuses_when_a_sample_that_only_a_detector_reads_is_old(cases: ModuleType) -> None:
    facts = cases.facts(signals=replace(cases.signals(), more={"vllm_preemptions_total": Signal(3.0, 41.0)}))
    assert cases.judge(facts) == Refusal("stale_data", "samples too old (15 s allowed): vllm_preemptions_total 41 s")


def test_refuses_when_a_sample_has_no_age(cases: ModuleType) -> None:
    assert cases.reason(cases.judge(cases.facts(signals=cases.signals(age=float("nan"))))) == "stale_data"


def test_refuses_without_any_sample_of_a_server_that_answers(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(signals=Signals())) == Refusal(
        "stale_data", "Prometheus has no sample of gpu1:8000: look at the exporter"
    )


def test_a_dead_server_needs_no_sample(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(signals=Signals(), look=cases.REFUSED)) is None


def test_refuses_when_the_alert_fires_no_more(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(still_firing=frozenset({"HighLatency"}))) == Refusal(
        "not_firing",
        "VllmEngineStalled is not active any more "
        "(resolved, silenced, inhibited, muted, not sent here or not healable)",
    )


def test_refuses_when_no_alert_supports_the_cause(cases: ModuleType) -> None:
    assert cases.judge(plan=cases.plan(diagnosis=Diagnosis("engine_stalled", ""))) == Refusal(
        "not_firing", "none of the incident's alerts supports an action on engine_stalled"
    )


def test_refuses_to_stop_what_could_not_be_started_again(cases: ModuleType) -> None:
    view = cases.supervisor(no_way_back="it was run with --rm, so a stop removes it")
    assert cases.judge(cases.facts(supervisor=view)) == Refusal(
        "no_way_back", "gpu1:8000 could not be started again: it was run with --rm, so a stop removes it"
    )


def test_refuses_when_the_watchdog_is_missing(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(watchdog=False)) == Refusal(
        "blind", "Alertmanager has no Watchdog alert from Prometheus: the alerts cannot be trusted"
    )


def test_refuses_with_the_words_for_why_the_watchdog_does_not_count(cases: ModuleType) -> None:
    given = cases.facts(watchdog=False, watchdog_problem="Alertmanager has a Watchdog of another")
    assert cases.judge(given) == Refusal(
        "blind", "Alertmanager has a Watchdog of another: the alerts cannot be trusted"
    )


def test_refuses_a_server_that_was_never_ready(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(seen_ready=False)) == Refusal(
        "never_ready", "gpu1:8000 was never seen ready: its first start is for a person"
    )


def test_refuses_to_start_what_a_person_stopped(cases: ModuleType) -> None:
    facts = cases.facts(look=cases.REFUSED, supervisor=cases.supervisor(RunState.STOPPED))
    assert cases.judge(facts) == Refusal(
        "intended_state", "gpu1:8000 is stopped by a person: the healer starts nothing that a person stopped"
    )


def test_refuses_while_a_person_stops_it(cases: ModuleType) -> None:
    assert cases.reason(cases.judge(cases.facts(supervisor=cases.supervisor(RunState.STOPPING)))) == "intended_state"


def own_stop(cases: ModuleType, **changes: object) -> Ledger:
    """A restart of ours, past its cooldown, that stopped the server and failed to start it."""
    failed = {"recovered": False, "stopped": True, "incarnation": "boot-a/4711/99000"}
    return Ledger(entries=(cases.earlier(400.0, **{**failed, **changes}),))


def test_starts_what_its_own_action_stopped(cases: ModuleType) -> None:
    facts = cases.facts(
        look=cases.REFUSED, supervisor=cases.supervisor(RunState.STOPPED), last_alive="boot-a/4711/99000"
    )
    assert cases.judge(facts, own_stop(cases)) is None


def test_leaves_what_a_person_stopped_after_a_later_life(cases: ModuleType) -> None:
    facts = cases.facts(
        look=cases.REFUSED, supervisor=cases.supervisor(RunState.STOPPED), last_alive="boot-a/5000/120000"
    )
    assert cases.reason(cases.judge(facts, own_stop(cases))) == "intended_state"


def test_leaves_what_a_person_stopped_after_its_own_restart_worked(cases: ModuleType) -> None:
    facts = cases.facts(
        look=cases.REFUSED, supervisor=cases.supervisor(RunState.STOPPED), last_alive="boot-a/4711/99000"
    )
    assert cases.reason(cases.judge(facts, own_stop(cases, recovered=True))) == "intended_state"


def test_an_unknown_state_refuses_even_after_its_own_stop(cases: ModuleType) -> None:
    facts = cases.facts(supervisor=cases.supervisor(RunState.UNKNOWN), last_alive="boot-a/4711/99000")
    assert cases.judge(facts, own_stop(cases)) == Refusal(
        "intended_state", "the supervisor does not say whether gpu1:8000 should run"
    )


@pytest.mark.parametrize("key", ["boot-a/5000/120000", "boot-b/4711/99000", "none", ""])
def test_refuses_when_it_is_another_process_now(cases: ModuleType, key: str) -> None:
    facts = cases.facts(supervisor=cases.supervisor(incarnation=Incarnation(key)))
    assert cases.reason(cases.judge(facts)) == "incarnation_changed"


def test_refuses_a_plan_that_names_no_process(cases: ModuleType) -> None:
    facts = cases.facts(supervisor=cases.supervisor(incarnation=Incarnation("")))
    assert cases.reason(cases.judge(facts, plan=cases.plan(incarnation=""))) == "incarnation_changed"


def test_refuses_to_leave_the_pool_with_too_few(cases: ModuleType) -> None:
    facts = cases.facts(healthy_others=1)
    assert cases.judge(facts, limits=replace(LIMITS, minimum_healthy=2)) == Refusal(
        "minimum_healthy", "1 other healthy servers in pool chat, 2 are needed"
    )


def test_a_server_that_is_down_is_healed_whatever_is_left_of_its_pool(cases: ModuleType) -> None:
    facts = cases.facts(healthy_others=0, look=cases.REFUSED)
    assert cases.judge(facts, limits=replace(LIMITS, minimum_healthy=2)) is None


def test_a_single_server_is_healed_by_default(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(healthy_others=0)) is None


SUSPECT = {"listed": 4, "looking_bad": frozenset({"gpu1:8000", "gpu2:8000", "gpu3:8000"})}


def test_refuses_when_most_servers_look_bad_and_one_of_them_answers_the_healer(cases: ModuleType) -> None:
    looks = {"gpu2:8000": cases.REFUSED, "gpu3:8000": cases.WELL}
    assert cases.judge(cases.facts(**SUSPECT, other_looks=looks)) == Refusal(
        "observer_fault",
        "3 of 4 servers look bad to Prometheus, and gpu3:8000 answers the healer: "
        "look at Prometheus and the exporters first",
    )


def test_when_the_healer_finds_the_others_bad_too_they_are(cases: ModuleType) -> None:
    looks = {"gpu2:8000": cases.REFUSED, "gpu3:8000": cases.HUNG}
    assert cases.judge(cases.facts(**SUSPECT, other_looks=looks)) is None


@pytest.mark.parametrize(
    ("listed", "bad"), [(2, ("gpu1:8000", "gpu2:8000")), (4, ("gpu1:8000", "gpu2:8000")), (3, ("gpu1:8000",))]
)
def test_two_servers_or_half_of_them_are_no_sign_of_a_broken_observer(
    cases: ModuleType, listed: int, bad: tuple[str, ...]
) -> None:
    facts = cases.facts(listed=listed, looking_bad=frozenset(bad), other_looks={"gpu2:8000": cases.WELL})
    assert cases.judge(facts) is None


def test_refuses_a_server_that_says_it_is_paused_or_asleep(cases: ModuleType) -> None:
    facts = cases.facts(look=replace(cases.HUNG, paused=True))
    assert cases.judge(facts) == Refusal(
        "server_paused", "gpu1:8000 says that it is paused or asleep: only who did that should end it"
    )


def test_a_server_that_does_not_say_whether_it_is_paused_may_be_restarted(cases: ModuleType) -> None:
    """Without dev mode nobody can pause it."""
    assert cases.judge(cases.facts(look=replace(cases.HUNG, paused=None))) is None


def test_refuses_while_somebody_debugs_it(cases: ModuleType) -> None:
    view = cases.supervisor(traced="gdb -p 4712 (pid 99) debugs VLLM::EngineCore (pid 4712)")
    assert cases.judge(cases.facts(supervisor=view)) == Refusal(
        "traced",
        "somebody is looking into gpu1:8000: gdb -p 4712 (pid 99) debugs VLLM::EngineCore (pid 4712)",
    )


def touched(cases: ModuleType, count: int, ago: float = 3000.0, **changes: object) -> Ledger:
    """Restarts of so many other servers of the pool, each of which helped."""
    each = range(count, 0, -1)
    return Ledger(entries=tuple(cases.earlier(action=n, ago=ago, server=f"gpu{n + 1}:8000", **changes) for n in each))


def test_refuses_to_act_on_more_than_half_of_a_pool_within_an_hour(cases: ModuleType) -> None:
    facts = cases.facts(pool_size=6)
    assert cases.judge(facts, touched(cases, 2)) is None
    assert cases.judge(facts, touched(cases, 3)) == Refusal(
        "blast_radius",
        "4 of 6 servers in pool chat would be acted on within an hour, 3 are allowed: "
        "a person should look for a common cause",
    )


def test_refuses_the_sixth_server_of_a_large_pool(cases: ModuleType) -> None:
    facts = cases.facts(pool_size=100)
    assert cases.judge(facts, touched(cases, 4)) is None
    assert cases.reason(cases.judge(facts, touched(cases, 5))) == "blast_radius"


def test_the_radius_can_be_set(cases: ModuleType) -> None:
    facts = cases.facts(pool_size=100)
    wide = replace(LIMITS, blast_radius_percent=10.0, blast_radius_servers=20)
    assert cases.judge(facts, touched(cases, 9), limits=wide) is None
    assert cases.reason(cases.judge(facts, touched(cases, 10), limits=wide)) == "blast_radius"


def test_both_servers_of_a_small_pool_are_healed(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(pool_size=2), touched(cases, 1)) is None


def test_what_is_down_or_was_acted_on_long_ago_or_elsewhere_or_not_at_all_is_outside_of_the_radius(
    cases: ModuleType,
) -> None:
    facts = cases.facts(pool_size=4)
    assert cases.reason(cases.judge(facts, touched(cases, 2))) == "blast_radius"
    assert cases.judge(cases.facts(pool_size=4, look=cases.REFUSED), touched(cases, 2)) is None
    assert cases.judge(facts, touched(cases, 2, ago=3601.0)) is None
    assert cases.judge(facts, touched(cases, 2, pool="embed")) is None
    assert cases.judge(facts, touched(cases, 2, dropped=True)) is None


def test_the_same_server_again_widens_no_radius(cases: ModuleType) -> None:
    again = Ledger(entries=tuple(cases.earlier(action=n, ago=2000.0) for n in (2, 1)))
    assert cases.judge(cases.facts(pool_size=4), again) is None


def throttle(cases: ModuleType, cause: str = "overload") -> Plan:
    found: Plan = cases.plan(
        remediation="throttle", diagnosis=Diagnosis(cause, "", frozenset({"VllmQueueOverload"})), amount=20
    )
    return found


def busy(cases: ModuleType, **changes: object) -> Facts:
    found: Facts = cases.facts(look=cases.WELL, still_firing=frozenset({"VllmQueueOverload"}), **changes)
    return found


def test_an_overload_may_be_answered_by_what_is_taken_back_without_loss(cases: ModuleType) -> None:
    assert cases.judge(busy(cases), plan=throttle(cases)) is None
    assert cases.reason(cases.judge(busy(cases), plan=throttle(cases, "starting"))) == "not_destructive_cause"


def test_what_is_taken_back_without_loss_touches_no_pool(cases: ModuleType) -> None:
    """A throttle holds up no restart of another server, nor one that did not help; and needs no others to serve."""
    under_way = cases.earlier(action=3, server="gpu2:8000", remediation="throttle", finished=False, recovered=False)
    in_vain = cases.earlier(action=2, server="gpu3:8000", remediation="throttle", recovered=False)
    assert cases.judge(ledger=Ledger(entries=(under_way, in_vain))) is None
    alone = cases.judge(busy(cases, healthy_others=0), plan=throttle(cases), limits=replace(LIMITS, minimum_healthy=1))
    assert alone is None
    lost = Ledger(entries=(cases.earlier(server="gpu2:8000", recovered=False),))
    assert cases.judge(busy(cases), lost, plan=throttle(cases)) is None


def test_what_does_not_stop_a_server_needs_no_way_back(cases: ModuleType) -> None:
    view = cases.supervisor(no_way_back="it was run with --rm")
    assert cases.judge(busy(cases, supervisor=view), plan=throttle(cases)) is None


def test_other_guards_hold_for_it_too(cases: ModuleType) -> None:
    assert cases.reason(cases.judge(busy(cases, watchdog=False), plan=throttle(cases))) == "blind"
    assert cases.reason(cases.judge(busy(cases), Ledger(paused="ann"), throttle(cases))) == "paused"

"""The order of the reasons not to act, and what must not refuse; each alone is in test_checks_*.py."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.config import Limits, Mode
from vllm_healer.config.windows import Window
from vllm_healer.ledger import Ledger
from vllm_healer.model import Diagnosis, Facts, Incarnation, RunState
from vllm_healer.pipeline.guard import CHECKS

LIMITS = Limits()


def test_allows_the_restart_of_a_hung_server(cases: ModuleType) -> None:
    assert cases.judge() is None


def test_the_documented_order() -> None:
    assert [one.__name__ for one in CHECKS] == [
        "unlisted_target",
        "not_destructive_cause",
        "blind",
        "paused",
        "maintenance",
        "stale_data",
        "not_firing",
        "watchdog",
        "observer_fault",
        "never_ready",
        "intended_state",
        "server_paused",
        "traced",
        "no_way_back",
        "incarnation_changed",
        "pool_locked",
        "pool_unverified",
        "minimum_healthy",
        "blast_radius",
        "gave_up",
        "cooldown",
        "breaker",
        "budget",
        "budget_in_all",
        "not_allowed",
        "dry_run",
        "approval",
    ]


def test_removing_one_reason_after_the_other_shows_the_next(cases: ModuleType) -> None:
    facts = cases.facts(
        target=None,
        blind=("Prometheus: timeout",),
        signals=cases.signals(age=99.0),
        still_firing=frozenset(),
        watchdog=False,
        listed=3,
        looking_bad=frozenset({"gpu1:8000", "gpu2:8000"}),
        other_looks={"gpu2:8000": cases.WELL},
        seen_ready=False,
        look=replace(cases.HUNG, paused=True),
        supervisor=cases.supervisor(RunState.STOPPED, incarnation=Incarnation("other")),
        healthy_others=0,
    )
    last = cases.earlier(action=3, ago=60.0, recovered=False)
    entries = (cases.earlier(action=4, server="gpu2:8000", finished=False), last, last, last)
    ledger = Ledger(paused="ann", entries=entries)
    plan = cases.plan(allowed=False, diagnosis=Diagnosis("overload", "", frozenset({"VllmEngineStalled"})))
    state = {
        "given": facts,
        "ledger": ledger,
        "plan": plan,
        "mode": Mode.DRY_RUN,
        "limits": replace(LIMITS, minimum_healthy=1, maintenance=(Window(),), approval=(Window(),)),
    }

    def better(**changes: object) -> str:
        state["given"] = replace(state["given"], **changes)
        refused: str = cases.reason(cases.judge(**state))
        return refused

    assert better() == "unlisted_target"
    assert better(target=cases.TARGET) == "not_destructive_cause"
    state["plan"] = cases.plan(allowed=False)
    assert better() == "blind"
    assert better(blind=()) == "paused"
    state["ledger"] = Ledger(entries=entries)
    assert better() == "maintenance"
    state["limits"] = replace(LIMITS, minimum_healthy=1, approval=(Window(),))
    assert better() == "stale_data"
    assert better(signals=cases.signals()) == "not_firing"
    assert better(still_firing=frozenset({"VllmEngineStalled"})) == "blind"
    assert better(watchdog=True) == "observer_fault"
    assert better(other_looks={"gpu2:8000": cases.REFUSED}) == "never_ready"
    assert better(seen_ready=True) == "intended_state"
    other = cases.supervisor(incarnation=Incarnation("other"))
    debugged = replace(other, traced="gdb (pid 9) debugs vllm (pid 8)", no_way_back="it was run with --rm")
    assert better(supervisor=debugged) == "server_paused"
    assert better(look=cases.HUNG) == "traced"
    assert better(supervisor=replace(debugged, traced="")) == "no_way_back"
    assert better(supervisor=other) == "incarnation_changed"
    assert better(supervisor=cases.supervisor()) == "pool_locked"
    state["ledger"] = Ledger(entries=entries[1:])
    assert better() == "pool_unverified"
    recovered = replace(last, recovered=True)
    state["ledger"] = Ledger(entries=(recovered, recovered, recovered))
    assert better() == "minimum_healthy"
    near = [replace(recovered, action=n, server=f"gpu{n}:8000") for n in (7, 8)]
    state["ledger"] = Ledger(entries=(*near, recovered, recovered, recovered))
    assert better(healthy_others=1) == "blast_radius"
    state["ledger"] = Ledger(entries=(recovered, recovered, recovered))
    assert better() == "cooldown"
    spent = [replace(recovered, action=9 - n, at=cases.at(-400.0)) for n in range(6)]
    state["ledger"] = Ledger(entries=tuple(spent))
    assert better() == "breaker"
    state["ledger"] = Ledger(entries=tuple(spent), resumed=9)
    assert better() == "budget"
    elsewhere = [replace(one, server=f"gpu{n}:8000", pool="other") for n, one in enumerate([*spent] * 4)]
    state["ledger"] = Ledger(entries=tuple(elsewhere))
    assert better() == "budget_in_all"
    state["ledger"] = Ledger(entries=(spent[0],))
    assert better() == "not_allowed"
    state["plan"] = cases.plan()
    assert better() == "dry_run"
    state["mode"] = Mode.ACT
    assert better() == "approval"
    state["limits"] = LIMITS
    assert better() == ""


def test_a_plan_that_only_tells_is_never_refused(cases: ModuleType) -> None:
    plan = cases.plan(remediation="notify_only", destructive=False, allowed=False)
    worst = cases.facts(target=None, watchdog=False, blind=("Prometheus: timeout",))
    assert cases.judge(worst, Ledger(paused="ann"), plan, mode=Mode.DRY_RUN) is None


def test_facts_that_nobody_filled_in_refuse(cases: ModuleType) -> None:
    assert cases.reason(cases.judge(Facts(now=cases.NOW, target=cases.TARGET))) == "blind"

"""Every reason of the journal and the settings not to act, alone."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from vllm_healer.config import Limits, Mode
from vllm_healer.config.windows import Window
from vllm_healer.ledger import Approval, Consent, Ledger, LedgerEntry, Maintenance
from vllm_healer.model import Instant, Refusal

LIMITS = Limits()  # a restart rests for 300 s, 6 actions an hour and server, 20 in all, 3 of a kind in 4 hours
WIDE = replace(LIMITS, breaker_after=1000)  # for the budgets alone
THREE = replace(WIDE, budget_per_hour=3)


def test_refuses_while_the_healer_is_paused(cases: ModuleType) -> None:
    ledger = Ledger(paused="ann: maintenance until six")
    assert cases.judge(ledger=ledger) == Refusal("paused", "the healer is paused: ann: maintenance until six")


ALWAYS = Window()


def test_refuses_in_a_maintenance_window_of_the_server(cases: ModuleType) -> None:
    limits = replace(LIMITS, maintenance=(replace(ALWAYS, servers=("gpu2:8000",)), replace(ALWAYS, pools=("chat",))))
    assert cases.judge(limits=limits) == Refusal("maintenance", "gpu1:8000 is in maintenance (always)")


def test_a_maintenance_window_of_another_or_of_another_time_refuses_nothing(cases: ModuleType) -> None:
    over = replace(ALWAYS, ends=cases.NOW.wall)
    limits = replace(LIMITS, maintenance=(replace(ALWAYS, servers=("gpu2:8000",)), over))
    assert cases.judge(limits=limits) is None


def begun(cases: ModuleType, about: str, seconds: float = 3600.0) -> Ledger:
    """A maintenance that a person began ten minutes ago."""
    return Ledger(maintenance=(Maintenance(about, cases.at(-600.0), seconds, "anna: new driver"),))


@pytest.mark.parametrize("about", ["all", "server gpu1:8000", "pool chat"])
def test_refuses_while_a_person_has_begun_maintenance(cases: ModuleType, about: str) -> None:
    assert cases.judge(ledger=begun(cases, about)) == Refusal(
        "maintenance", "gpu1:8000 is in maintenance: anna: new driver"
    )


@pytest.mark.parametrize("about", ["server gpu2:8000", "pool embed", "server chat", "pool gpu1:8000"])
def test_maintenance_of_another_refuses_nothing(cases: ModuleType, about: str) -> None:
    assert cases.judge(ledger=begun(cases, about)) is None


def test_maintenance_ends_by_itself_and_not_by_a_clock_that_is_set(cases: ModuleType) -> None:
    assert cases.judge(ledger=begun(cases, "all", seconds=600.0)) is None
    jumped = Instant(cases.NOW.wall + 86_400.0, cases.NOW.boot, cases.NOW.boot_id)
    assert cases.reason(cases.judge(cases.facts(now=jumped), begun(cases, "all"))) == "maintenance"


NEEDED = replace(LIMITS, approval=(replace(ALWAYS, remediations=("restart_engine",)),))
WHAT = "restart_engine on gpu1:8000 needs a person's approval (always)"


def request(cases: ModuleType, **changes: object) -> Ledger:
    asked = Approval(3, 7, "gpu1:8000", "restart_engine", cases.at(-60.0))
    return Ledger(approval=replace(asked, **changes))  # type: ignore[arg-type]


def approved(cases: ModuleType, ago: float = 10.0, **changes: object) -> Ledger:
    given = {"answer": Consent.APPROVED, "answered": cases.at(-ago), "words": "anna"}
    return request(cases, **given, **changes)


def test_refuses_what_a_person_has_to_approve_and_says_how(cases: ModuleType) -> None:
    assert cases.judge(limits=NEEDED) == Refusal("approval", f"{WHAT}: it is asked for now")
    assert cases.judge(ledger=request(cases), limits=NEEDED) == Refusal("approval", f"{WHAT}: `vllm-healer approve 3`")
    assert cases.judge(plan=cases.plan(remediation="reap_orphans"), limits=NEEDED) is None


def test_what_is_approved_is_done_within_a_quarter_of_an_hour_and_once(cases: ModuleType) -> None:
    assert cases.judge(ledger=approved(cases), limits=NEEDED) is None
    assert cases.reason(cases.judge(ledger=approved(cases, ago=900.0), limits=NEEDED)) == "approval"
    used = replace(approved(cases, used_by=1), entries=(cases.earlier(ago=400.0),))
    assert cases.reason(cases.judge(ledger=used, limits=NEEDED)) == "approval"


def test_the_action_that_uses_the_approval_may_be_resumed(cases: ModuleType) -> None:
    """After a crash of the healer it is judged anew, on a ledger without itself."""
    used = replace(approved(cases, used_by=1), entries=(cases.earlier(ago=400.0),))
    assert cases.judge(ledger=used.without(1), limits=NEEDED) is None


def test_what_a_person_refused_is_not_done(cases: ModuleType) -> None:
    refused = request(cases, answer=Consent.REFUSED, answered=cases.at(-10.0), words="anna: I am at it")
    assert cases.judge(ledger=refused, limits=NEEDED) == Refusal("approval", f"{WHAT}: refused by anna: I am at it")


def test_what_expired_unanswered_is_asked_for_again(cases: ModuleType) -> None:
    assert cases.judge(ledger=request(cases, asked=cases.at(-900.0)), limits=NEEDED) == Refusal(
        "approval", f"{WHAT}: it is asked for now"
    )


def test_nobody_is_asked_in_dry_run(cases: ModuleType) -> None:
    assert cases.reason(cases.judge(limits=NEEDED, mode=Mode.DRY_RUN)) == "dry_run"


def test_refuses_while_another_server_of_the_pool_is_being_healed(cases: ModuleType) -> None:
    other = cases.earlier(action=5, server="gpu2:8000", finished=False, recovered=False)
    assert cases.judge(ledger=Ledger(entries=(other,))) == Refusal(
        "pool_locked", "action 5 (restart_engine on gpu2:8000) in pool chat is not verified yet"
    )


def test_an_unfinished_action_is_a_lock_however_old(cases: ModuleType) -> None:
    old = cases.earlier(ago=40_000.0, server="gpu2:8000", finished=False, recovered=False)
    assert cases.reason(cases.judge(ledger=Ledger(entries=(old,)))) == "pool_locked"


def test_a_server_that_is_down_does_not_wait_for_another_s_lock(cases: ModuleType) -> None:
    """What is down cannot be made less available."""
    other = cases.earlier(action=5, server="gpu2:8000", finished=False, recovered=False)
    assert cases.judge(cases.facts(look=cases.REFUSED), Ledger(entries=(other,))) is None
    assert cases.judge(cases.facts(look=cases.UNAVAILABLE), Ledger(entries=(other,))) is None
    assert cases.reason(cases.judge(cases.facts(look=cases.SATURATED), Ledger(entries=(other,)))) == "pool_locked"


def test_a_server_that_is_down_waits_for_an_action_of_its_own(cases: ModuleType) -> None:
    own = cases.earlier(action=5, finished=False, recovered=False)
    assert cases.reason(cases.judge(cases.facts(look=cases.REFUSED), Ledger(entries=(own,)))) == "pool_locked"


def test_another_pool_locks_nothing(cases: ModuleType) -> None:
    other = cases.earlier(server="gpu2:8000", pool="embeddings", finished=False, recovered=False)
    assert cases.judge(ledger=Ledger(entries=(other,))) is None


def test_touches_no_serving_replica_after_an_action_that_did_not_help(cases: ModuleType) -> None:
    lost = cases.earlier(server="gpu2:8000", recovered=False)
    assert cases.judge(ledger=Ledger(entries=(lost,))) == Refusal(
        "pool_unverified",
        "the last action in pool chat (restart_engine on gpu2:8000) did not help: a person should look first",
    )


def test_may_still_try_a_server_that_is_down_by_its_own_look(cases: ModuleType) -> None:
    lost = Ledger(entries=(cases.earlier(server="gpu2:8000", recovered=False),))
    assert cases.judge(cases.facts(look=cases.REFUSED), lost) is None
    assert cases.judge(cases.facts(look=cases.UNAVAILABLE), lost) is None


def test_a_server_that_is_down_is_tried_again_only_after_its_cooldown(cases: ModuleType) -> None:
    lost = Ledger(entries=(cases.earlier(ago=100.0, recovered=False),))
    assert cases.reason(cases.judge(cases.facts(look=cases.REFUSED), lost)) == "cooldown"


def test_a_server_that_times_out_is_not_down(cases: ModuleType) -> None:
    lost = Ledger(entries=(cases.earlier(server="gpu2:8000", recovered=False),))
    assert cases.reason(cases.judge(cases.facts(look=cases.SATURATED), lost)) == "pool_unverified"


def test_only_the_last_action_of_the_pool_counts(cases: ModuleType) -> None:
    lost = cases.earlier(action=1, server="gpu2:8000", recovered=False)
    helped = cases.earlier(action=2, server="gpu2:8000", recovered=True)
    assert cases.judge(ledger=Ledger(entries=(helped, lost))) is None


def failures(cases: ModuleType, count: int, **last: object) -> Ledger:
    """So many restarts, a day apart, that did not help; `last` changes the oldest of them."""
    entries = [cases.earlier(action=9 - n, ago=86_400.0 * (n + 1), recovered=False) for n in range(count)]
    return Ledger(entries=(*entries[:-1], replace(entries[-1], **last)))


def test_gives_up_after_five_restarts_in_a_row_that_did_not_help_however_long_ago(cases: ModuleType) -> None:
    """H03: a server that is down too."""
    assert cases.judge(cases.facts(look=cases.REFUSED), failures(cases, 5)) == Refusal(
        "gave_up",
        "restart_engine did not help gpu1:8000 5 times in a row: "
        "a person must find out why, then run `vllm-healer resume`",
    )


def test_four_in_a_row_are_not_yet_enough(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(look=cases.REFUSED), failures(cases, 4)) is None


def test_one_that_helped_or_was_settled_ends_the_row(cases: ModuleType) -> None:
    assert cases.judge(cases.facts(look=cases.REFUSED), failures(cases, 5, recovered=True)) is None


def test_one_that_was_dropped_before_anything_was_done_neither_counts_nor_ends_the_row(cases: ModuleType) -> None:
    dropped = {"dropped": True, "recovered": True}
    assert cases.judge(cases.facts(look=cases.REFUSED), failures(cases, 5, **dropped)) is None
    middle = list(failures(cases, 6).entries)
    middle[2] = replace(middle[2], dropped=True, recovered=True)
    assert cases.reason(cases.judge(cases.facts(look=cases.REFUSED), Ledger(entries=tuple(middle)))) == "gave_up"


def test_restarts_that_did_not_help_keep_nobody_from_reaping_orphans(cases: ModuleType) -> None:
    facts, reap = cases.facts(look=cases.REFUSED), cases.plan(remediation="reap_orphans")
    assert cases.judge(facts, failures(cases, 5), plan=reap) is None


def test_how_often_is_enough_can_be_set(cases: ModuleType) -> None:
    limits = replace(LIMITS, give_up_after=2)
    assert cases.reason(cases.judge(cases.facts(look=cases.REFUSED), failures(cases, 2), limits=limits)) == "gave_up"


def test_refuses_during_the_cooldown(cases: ModuleType) -> None:
    assert cases.judge(ledger=Ledger(entries=(cases.earlier(ago=60.0),))) == Refusal(
        "cooldown", "restart_engine ran on gpu1:8000 60 s ago: 240 s of 300 s left"
    )


def test_the_cooldown_ends(cases: ModuleType) -> None:
    assert cases.judge(ledger=Ledger(entries=(cases.earlier(ago=300.0),))) is None


def test_after_a_restart_that_helped_the_cooldown_is_what_it_took_and_a_minute(cases: ModuleType) -> None:
    """A small model that answered 40 s after the intent; a large one that took 15 minutes."""
    small, large = cases.earlier(ago=99.0, took=40.0), cases.earlier(ago=950.0, took=900.0)
    assert cases.judge(ledger=Ledger(entries=(small,))) == Refusal(
        "cooldown", "restart_engine ran on gpu1:8000 99 s ago: 1 s of 100 s left"
    )
    assert cases.judge(ledger=Ledger(entries=(replace(small, at=cases.at(-100.0)),))) is None
    assert cases.reason(cases.judge(ledger=Ledger(entries=(large,)))) == "cooldown"


def test_a_restart_that_did_not_help_rests_as_the_last_one_that_did(cases: ModuleType) -> None:
    failed = cases.earlier(action=2, ago=130.0, recovered=False)
    helped = cases.earlier(action=1, ago=9000.0, took=60.0)
    facts = cases.facts(look=cases.REFUSED)
    assert cases.judge(facts, Ledger(entries=(failed, helped))) is None
    assert cases.reason(cases.judge(facts, Ledger(entries=(failed,)))) == "cooldown"


def test_a_cooldown_that_healer_yml_names_holds_whatever_was_measured(cases: ModuleType) -> None:
    ledger = Ledger(entries=(cases.earlier(ago=60.0, took=900.0),))
    limits = replace(LIMITS, cooldown_seconds={"restart_engine": 30.0})
    assert cases.judge(ledger=ledger, limits=limits) is None


def test_the_cooldown_is_of_one_remediation_on_one_server(cases: ModuleType) -> None:
    entries = (cases.earlier(ago=60.0, remediation="reap_orphans"), cases.earlier(ago=60.0, server="gpu2:8000"))
    assert cases.judge(ledger=Ledger(entries=entries)) is None


def test_the_cooldown_holds_when_the_wall_clock_steps_back_ten_minutes(cases: ModuleType) -> None:
    stepped = Instant(cases.NOW.wall - 600.0, cases.NOW.boot, cases.NOW.boot_id)
    refusal = cases.judge(cases.facts(now=stepped), Ledger(entries=(cases.earlier(ago=60.0),)))
    assert refusal == Refusal("cooldown", "restart_engine ran on gpu1:8000 60 s ago: 240 s of 300 s left")


def test_the_cooldown_does_not_end_early_when_the_wall_clock_jumps_ahead(cases: ModuleType) -> None:
    jumped = Instant(cases.NOW.wall + 600.0, cases.NOW.boot, cases.NOW.boot_id)
    assert cases.reason(cases.judge(cases.facts(now=jumped), Ledger(entries=(cases.earlier(ago=60.0),)))) == "cooldown"


def test_after_a_reboot_the_cooldown_takes_the_longer_wait(cases: ModuleType) -> None:
    ledger = Ledger(entries=(cases.earlier(ago=0.0),))
    day_later = Instant(cases.NOW.wall + 86_400.0, 50.0, "boot-b")
    assert cases.judge(cases.facts(now=day_later), ledger) == Refusal(
        "cooldown", "restart_engine ran on gpu1:8000 50 s ago: 250 s of 300 s left"
    )
    up_long_enough = Instant(cases.NOW.wall + 86_400.0, 4000.0, "boot-b")
    assert cases.judge(cases.facts(now=up_long_enough), ledger) is None


def test_refuses_when_the_budget_of_the_hour_is_spent(cases: ModuleType) -> None:
    entries = tuple(cases.earlier(ago=ago) for ago in (400.0, 800.0, 1200.0, 1600.0, 2000.0, 3599.0))
    assert cases.judge(ledger=Ledger(entries=entries), limits=WIDE) == Refusal(
        "budget", "6 actions on gpu1:8000 within an hour, 6 are allowed"
    )
    assert cases.judge(ledger=Ledger(entries=entries[1:]), limits=WIDE) is None


def test_refuses_when_all_servers_together_have_spent_their_hour(cases: ModuleType) -> None:
    """Each of another pool: no lock, no budget of one server sees it."""
    many = tuple(cases.earlier(action=n, server=f"gpu{n}:8000", pool=f"pool {n}") for n in range(20, 0, -1))
    assert cases.judge(ledger=Ledger(entries=many)) == Refusal(
        "budget_in_all", "20 actions on all servers within an hour, 20 are allowed"
    )
    assert cases.judge(ledger=Ledger(entries=many[1:])) is None
    old = tuple(replace(one, at=cases.at(-3601.0)) for one in many)
    assert cases.judge(ledger=Ledger(entries=old)) is None


def three(cases: ModuleType, **changes: object) -> tuple[LedgerEntry, ...]:
    """Restarts that helped, 1, 2 and 3 hours ago."""
    return tuple(cases.earlier(action=n, ago=(4 - n) * 3600.0, **changes) for n in (3, 2, 1))


def test_the_third_restart_in_four_hours_is_the_last_even_if_each_helped(cases: ModuleType) -> None:
    assert cases.judge(ledger=Ledger(entries=three(cases))) == Refusal(
        "breaker",
        "restart_engine ran on gpu1:8000 3 times within 4 h: a person must find out why, then run `vllm-healer resume`",
    )
    assert cases.reason(cases.judge(cases.facts(look=cases.REFUSED), Ledger(entries=three(cases)))) == "breaker"


def test_the_breaker_closes_when_four_hours_are_over_or_a_person_resumes(cases: ModuleType) -> None:
    hours_later = cases.facts(now=cases.at(3601.0))
    assert cases.judge(hours_later, Ledger(entries=three(cases))) is None
    assert cases.judge(ledger=Ledger(entries=three(cases), resumed=1)) is None


def test_the_breaker_counts_one_remediation_on_one_server_that_did_something(cases: ModuleType) -> None:
    assert cases.judge(ledger=Ledger(entries=three(cases, remediation="reap_orphans"))) is None
    assert cases.judge(ledger=Ledger(entries=three(cases, server="gpu2:8000"))) is None
    assert cases.judge(ledger=Ledger(entries=three(cases, dropped=True))) is None


def test_how_often_and_in_how_many_hours_can_be_set(cases: ModuleType) -> None:
    ledger = Ledger(entries=three(cases))
    assert cases.judge(ledger=ledger, limits=replace(LIMITS, breaker_hours=2.5)) is None
    assert cases.judge(ledger=ledger, limits=replace(LIMITS, breaker_after=4)) is None


def test_the_budget_counts_every_remediation_of_that_server_and_no_other(cases: ModuleType) -> None:
    own = (cases.earlier(ago=400.0), cases.earlier(ago=1600.0, remediation="reap_orphans"))
    other = (cases.earlier(ago=500.0, server="gpu2:8000"), cases.earlier(ago=3600.0))
    assert cases.judge(ledger=Ledger(entries=own + other)) is None
    assert cases.reason(cases.judge(ledger=Ledger(entries=own), limits=replace(LIMITS, budget_per_hour=2))) == "budget"


def test_a_reboot_does_not_make_old_actions_young(cases: ModuleType) -> None:
    entries = tuple(cases.earlier(action=3 - n, ago=ago) for n, ago in enumerate((0.0, 2000.0, 4000.0)))
    minutes_later = Instant(cases.NOW.wall + 900.0, 800.0, "boot-b")
    assert cases.judge(cases.facts(now=minutes_later), Ledger(entries=entries), limits=THREE) is None


def test_a_reboot_does_not_make_young_actions_old(cases: ModuleType) -> None:
    entries = tuple(cases.earlier(action=3 - n, ago=ago) for n, ago in enumerate((0.0, 1000.0, 2000.0)))
    next_day = Instant(cases.NOW.wall + 86_400.0, 800.0, "boot-b")
    assert cases.reason(cases.judge(cases.facts(now=next_day), Ledger(entries=entries), limits=THREE)) == "budget"


def test_refuses_what_healer_yml_does_not_list(cases: ModuleType) -> None:
    assert cases.judge(plan=cases.plan(allowed=False)) == Refusal(
        "not_allowed", "healer.yml does not allow restart_engine: add it to 'remediations' to permit it"
    )


def test_a_dry_run_says_that_everything_else_allowed_it(cases: ModuleType) -> None:
    assert cases.judge(mode=Mode.DRY_RUN) == Refusal(
        "dry_run", "dry run: would have run restart_engine on gpu1:8000, everything else allowed it"
    )

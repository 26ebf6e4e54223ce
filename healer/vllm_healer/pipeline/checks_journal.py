"""Checks against the journal and the settings: pause, pool, cooldown, budget, permission, dry run.

They are keyed by server, pool and remediation, never by an alert: two alerts of one cause share one cooldown.
"""

from __future__ import annotations

from vllm_healer.config import Mode
from vllm_healer.elapsed import elapsed
from vllm_healer.ledger import APPROVAL_EXPIRES, Consent
from vllm_healer.model import Refusal
from vllm_healer.pipeline.case import HOUR, Case


def paused(case: Case) -> Refusal | None:
    """Refuses while a person has paused the healer."""
    return Refusal("paused", f"the healer is paused: {case.ledger.paused}") if case.ledger.paused else None


def pool_locked(case: Case) -> Refusal | None:
    """Refuses while another action in the pool is not verified: this one might take the last replica.

    A server that is down by our own look waits only for an action of its own: it cannot be made less available.
    """
    in_flight = (entry for entry in case.same_pool() if not entry.finished)
    running = next((e for e in in_flight if e.server == case.plan.server or not case.down_by_own_look()), None)
    if running is None:
        return None
    what = f"action {running.action} ({running.remediation} on {running.server})"
    return Refusal("pool_locked", f"{what} in pool {case.plan.pool} is not verified yet")


def pool_unverified(case: Case) -> Refusal | None:
    """Refuses to touch what may still serve after an action that was not seen to help: no serial killing of a fleet.

    A server that is down by our own look serves nobody and may be tried, within its own cooldown and budget.
    """
    last = max((entry for entry in case.same_pool() if entry.finished), key=lambda entry: entry.action, default=None)
    if last is None or last.recovered or case.down_by_own_look() or case.reversible():
        return None
    what = f"the last action in pool {case.plan.pool} ({last.remediation} on {last.server})"
    return Refusal("pool_unverified", f"{what} did not help: a person should look first")


def gave_up(case: Case) -> Refusal | None:
    """Refuses what did not help so many times in a row: time alone changes nothing about that, a person may."""
    plan = case.plan
    failed = case.ledger.failed_in_a_row(plan.server, plan.remediation)
    if failed < case.limits.give_up_after:
        return None
    words = f"{plan.remediation} did not help {plan.server} {failed} times in a row"
    return Refusal("gave_up", f"{words}: a person must find out why, then run `vllm-healer resume`")


def cooldown(case: Case) -> Refusal | None:
    """Refuses the same action so soon: a remedy that did not help needs time to show it, or a person."""
    plan = case.plan
    same = [(entry, age) for entry, age in case.ages_on_server() if entry.remediation == plan.remediation]
    times = [age for _, age in same]
    allowed = case.limits.cooldown(plan.remediation, next((entry.took for entry, _ in same if entry.took), 0.0))
    if not times or min(times) >= allowed:
        return None
    left = f"{allowed - min(times):.0f} s of {allowed:.0f} s left"
    return Refusal("cooldown", f"{plan.remediation} ran on {plan.server} {min(times):.0f} s ago: {left}")


def breaker(case: Case) -> Refusal | None:
    """Refuses what ran so often in some hours, whether it helped or not: the fault comes back, and has a cause.

    What undoes itself costs nothing and may be repeated. A person who resumes begins the count anew.
    """
    plan, limits = case.plan, case.limits
    if case.reversible():
        return None
    recent = (entry for entry, age in case.ages_on_server() if age < limits.breaker_hours * HOUR)
    same = (entry for entry in recent if entry.remediation == plan.remediation and not entry.dropped)
    done = sum(entry.action > case.ledger.resumed for entry in same)
    if done < limits.breaker_after:
        return None
    words = f"{plan.remediation} ran on {plan.server} {done} times within {limits.breaker_hours:g} h"
    return Refusal("breaker", f"{words}: a person must find out why, then run `vllm-healer resume`")


def budget(case: Case) -> Refusal | None:
    """Refuses more actions in an hour than allowed: a fault that comes back that often is not cured by them."""
    done = sum(age < HOUR for _, age in case.ages_on_server())
    allowed = case.limits.budget_per_hour
    if done < allowed:
        return None
    return Refusal("budget", f"{done} actions on {case.plan.server} within an hour, {allowed} are allowed")


def budget_in_all(case: Case) -> Refusal | None:
    """Refuses more actions in an hour on all servers than allowed: so many faults at once have one cause."""
    done = len(case.within(HOUR))
    allowed = case.limits.budget_per_hour_in_all
    if done < allowed:
        return None
    return Refusal("budget_in_all", f"{done} actions on all servers within an hour, {allowed} are allowed")


def not_allowed(case: Case) -> Refusal | None:
    """Refuses what healer.yml does not list."""
    if case.plan.allowed:
        return None
    words = f"healer.yml does not allow {case.plan.remediation}: add it to 'remediations' to permit it"
    return Refusal("not_allowed", words)


def maintenance(case: Case) -> Refusal | None:
    """Refuses while people work on the server: in a window of healer.yml, or by `vllm-healer maintenance start`."""
    plan, now = case.plan, case.facts.now.wall
    windows = (one for one in case.limits.maintenance if one.covers(plan.server, plan.pool, plan.remediation))
    window = next((one for one in windows if one.holds(now)), None)
    if window is not None:
        return Refusal("maintenance", f"{plan.server} is in maintenance ({window})")
    begun = (one for one in case.ledger.maintenance if one.covers(plan.server, plan.pool))
    held = next((one for one in begun if elapsed(one.begun, case.facts.now) < one.seconds), None)
    return Refusal("maintenance", f"{plan.server} is in maintenance: {held.words}") if held else None


def approval(case: Case) -> Refusal | None:
    """Refuses what a person has to approve and has not, or not lately. One approval is for one action.

    It is asked last: nobody is asked to approve what something else refuses.
    """
    plan, known = case.plan, case.ledger.approval
    windows = (one for one in case.limits.approval if one.covers(plan.server, plan.pool, plan.remediation))
    window = next((one for one in windows if one.holds(case.facts.now.wall)), None)
    if window is None:
        return None
    what = f"{plan.remediation} on {plan.server} needs a person's approval ({window})"
    if known is None or (known.answer is None and elapsed(known.asked, case.facts.now) >= APPROVAL_EXPIRES):
        return Refusal("approval", f"{what}: it is asked for now")
    if known.answer is None:
        return Refusal("approval", f"{what}: `vllm-healer approve {known.id}`")
    if known.answer is Consent.REFUSED:
        return Refusal("approval", f"{what}: refused by {known.words}")
    used = known.used_by in {entry.action for entry in case.ledger.entries}
    if used or known.answered is None or elapsed(known.answered, case.facts.now) >= APPROVAL_EXPIRES:
        return Refusal("approval", f"{what}: the last approval was used or has expired, it is asked for anew")
    return None


def dry_run(case: Case) -> Refusal | None:
    """Refuses unless the mode is 'act'. Its refusal means: everything else allowed it, but for an approval."""
    if case.mode is Mode.ACT:
        return None
    what = f"{case.plan.remediation} on {case.plan.server}"
    return Refusal("dry_run", f"dry run: would have run {what}, everything else allowed it")

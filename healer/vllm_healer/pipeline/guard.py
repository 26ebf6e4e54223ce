"""Guard: finds the first reason not to act. A fact that is missing is a reason."""

from __future__ import annotations

from collections.abc import Callable

from vllm_healer.config import Limits, Mode
from vllm_healer.ledger import Ledger
from vllm_healer.model import Facts, Plan, Refusal
from vllm_healer.pipeline import checks_journal, checks_world
from vllm_healer.pipeline.case import Case

# The order is the order of importance to the reader: what it is, whether we see, whether it is wanted, whether it is
# safe for the pool, whether it was tried too often, and last the settings that a person changes to let it act.
CHECKS: tuple[Callable[[Case], Refusal | None], ...] = (
    checks_world.unlisted_target,
    checks_world.not_destructive_cause,
    checks_world.blind,
    checks_journal.paused,
    checks_journal.maintenance,
    checks_world.stale_data,
    checks_world.not_firing,
    checks_world.watchdog,
    checks_world.observer_fault,
    checks_world.never_ready,
    checks_world.intended_state,
    checks_world.server_paused,
    checks_world.traced,
    checks_world.no_way_back,
    checks_world.incarnation_changed,
    checks_journal.pool_locked,
    checks_journal.pool_unverified,
    checks_world.minimum_healthy,
    checks_world.blast_radius,
    checks_journal.gave_up,
    checks_journal.cooldown,
    checks_journal.breaker,
    checks_journal.budget,
    checks_journal.budget_in_all,
    checks_journal.not_allowed,
    checks_journal.dry_run,
    checks_journal.approval,
)

# Refusals that end by themselves, mostly within seconds. After any other a person is needed.
PASSING = frozenset({"blind", "incarnation_changed", "not_firing", "observer_fault", "pool_locked", "stale_data"})


def guard(plan: Plan, facts: Facts, ledger: Ledger, limits: Limits, mode: Mode) -> Refusal | None:
    """The first refusal, or None: the plan may be carried out. A plan that only tells is never refused.

    Pure. It runs inside the journal's reservation, on the ledger that the intent is then written to.
    """
    if not plan.destructive:
        return None
    case = Case(plan, facts, ledger, limits, mode)
    return next((refusal for check in CHECKS if (refusal := check(case)) is not None), None)

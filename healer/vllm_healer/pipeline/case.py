"""The case that guards judge: the plan, and all that speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_healer.config import Limits, Mode
from vllm_healer.model import NO_INCARNATION, Facts, Ledger, LedgerEntry, Plan
from vllm_healer.presence import serves_nobody


@dataclass(frozen=True)
class Case:
    """All that a check is given. It was read before and is never read again."""

    plan: Plan
    facts: Facts
    ledger: Ledger
    limits: Limits
    mode: Mode

    def own_stop(self) -> bool:
        """True if an action of ours stopped the server and failed to start it, and no later process was seen alive."""
        own = (entry for entry in self.ledger.entries if entry.server == self.plan.server)
        last = max(own, key=lambda entry: entry.action, default=None)
        return (
            last is not None
            and last.stopped
            and not last.recovered
            and last.incarnation in (self.facts.last_alive, NO_INCARNATION.key)
        )

    def down_by_own_look(self) -> bool:
        """True if it serves nobody, as far as the healer's own look and the supervisor tell."""
        return serves_nobody(self.facts.look, self.facts.supervisor)

    def same_pool(self) -> tuple[LedgerEntry, ...]:
        return tuple(entry for entry in self.ledger.entries if entry.pool == self.plan.pool)

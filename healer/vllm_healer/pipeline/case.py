"""The case before the guards: the plan, and all that speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_healer.config import Limits, Mode
from vllm_healer.model import NO_INCARNATION, Facts, Health, Ledger, LedgerEntry, Plan


@dataclass(frozen=True)
class Case:
    """What each check is given; read before, never read again here."""

    plan: Plan
    facts: Facts
    ledger: Ledger
    limits: Limits
    mode: Mode

    def own_stop(self) -> bool:
        """An action of ours stopped the server and failed to start it, and no later process of it was seen alive."""
        own = (entry for entry in self.ledger.entries if entry.server == self.plan.server)
        last = max(own, key=lambda entry: entry.action, default=None)
        return (
            last is not None
            and last.stopped
            and not last.recovered
            and last.incarnation in (self.facts.last_alive, NO_INCARNATION.key)
        )

    def down_by_own_look(self) -> bool:
        """It serves nobody: refused or 503. A timeout is a busy server, and a hang still holds its clients."""
        return self.facts.look is not None and self.facts.look.health in (Health.REFUSED, Health.UNAVAILABLE)

    def same_pool(self) -> tuple[LedgerEntry, ...]:
        return tuple(entry for entry in self.ledger.entries if entry.pool == self.plan.pool)

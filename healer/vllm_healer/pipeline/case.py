"""The case that guards judge: the plan, and all that speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_healer.config import Limits, Mode
from vllm_healer.elapsed import elapsed
from vllm_healer.ledger import Ledger, LedgerEntry
from vllm_healer.model import NO_INCARNATION, Facts, Plan
from vllm_healer.presence import serves_nobody
from vllm_healer.registry import remediations
from vllm_healer.remediation import Remediation

HOUR = 3600.0


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

    def remediation(self) -> Remediation | None:
        """The remediation of the plan; None for one that is gone, of which the worst is thought."""
        return remediations().get(self.plan.remediation)

    def reversible(self) -> bool:
        """True if what it does ends by itself or is taken back without loss."""
        known = self.remediation()
        return known is not None and known.reversible

    def down_by_own_look(self) -> bool:
        """True if it serves nobody, as far as the healer's own look and the supervisor tell."""
        return serves_nobody(self.facts.look, self.facts.supervisor)

    def ages_on_server(self) -> list[tuple[LedgerEntry, float]]:
        """The server's earlier actions, newest first, each with the seconds since it that are certain."""
        return [(entry, age) for entry, age in self.ages() if entry.server == self.plan.server]

    def within(self, seconds: float) -> list[LedgerEntry]:
        """The earlier actions on all servers in the last so many seconds, newest first."""
        return [entry for entry, age in self.ages() if age < seconds]

    def ages(self) -> list[tuple[LedgerEntry, float]]:
        """The earlier actions, newest first, each with the seconds since it that are certain.

        After a reboot `elapsed` vouches for no more than this boot's uptime. But an action is also older than each that
        followed it, by the time between the two: without that, a host that was just rebooted would count every action
        since its installation as one of this hour.
        """
        found: list[tuple[LedgerEntry, float]] = []
        age, later = 0.0, self.facts.now
        for entry in sorted(self.ledger.entries, key=lambda entry: entry.action, reverse=True):
            age = max(elapsed(entry.at, self.facts.now), age + elapsed(entry.at, later))
            later = entry.at
            found.append((entry, age))
        return found

    def same_pool(self) -> tuple[LedgerEntry, ...]:
        """The actions in the pool that might have taken a server away: what is taken back without loss has not."""
        known = remediations()
        safe = {name for name, one in known.items() if one.reversible}
        mine = self.plan.server
        near = (entry for entry in self.ledger.entries if entry.pool == self.plan.pool)
        return tuple(e for e in near if e.remediation not in safe or (e.server == mine and not e.finished))

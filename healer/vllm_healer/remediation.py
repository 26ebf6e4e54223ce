"""What a remediation is. Adding one: a file in remediations/, its test, its page, a line in healer.yml."""

from __future__ import annotations

from typing import ClassVar

from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Facts, Incident, Plan, Result


class Remediation:
    """Answers some causes with one action. Its module's name is its name: in healer.yml, in the journal, in metrics."""

    causes: ClassVar[frozenset[str]] = frozenset()  # the diagnoses it serves
    destructive: ClassVar[bool] = True  # kills or restarts something: every guard applies
    proof: ClassVar[str] = "answers"  # what verification must see: answers, new_incarnation, no_orphans

    def plan(self, incident: Incident, diagnosis: Diagnosis, facts: Facts) -> Plan:
        """Names the one incarnation it is decided on; pure. `choose` adds whether healer.yml allows it."""
        return Plan(
            incident=incident.id,
            server=incident.server,
            pool=facts.target.pool if facts.target else "",
            remediation=self.name(),
            destructive=self.destructive,
            incarnation=facts.supervisor.incarnation.key if facts.supervisor else "",
            reason=self.reason(diagnosis, facts),
            diagnosis=diagnosis,
            verify=self.waits(diagnosis),
            proof=self.proof,
        )

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        """What will be done and why, in one sentence."""
        raise NotImplementedError

    def waits(self, diagnosis: Diagnosis) -> bool:
        """Whether verification follows: always after a destructive action."""
        return self.destructive

    def carry_out(self, handle: Handle) -> Result:
        """Does it with the handle's verbs. May be called again after a crash at any point, so what is done already must
        not be done twice. What the verbs raise is the caller's."""
        raise NotImplementedError

    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

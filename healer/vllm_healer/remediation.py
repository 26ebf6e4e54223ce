"""The base of remediations. One more is a file in remediations/, its test, its page, and a line in healer.yml."""

from __future__ import annotations

import math
from typing import ClassVar

from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Facts, Incident, Plan, Result, Verb
from vllm_healer.proof import Evidence, Proof, answers


class Remediation:
    """Answers some causes with one action. Its module's name is its name: in healer.yml, in the journal, in metrics.

    Everything about the action is here: what it does, how long it rests, what proves it, and what follows. All but
    `carry_out` is pure.
    """

    causes: ClassVar[frozenset[str]] = frozenset()  # the diagnoses it serves
    destructive: ClassVar[bool] = True  # kills, restarts or changes something: every guard applies
    verbs: ClassVar[frozenset[Verb]] = frozenset()  # its blast radius on the one server: the handle takes no other
    reversible: ClassVar[bool] = False  # its effect ends by itself, or is taken back without loss: no breaker
    optional: ClassVar[bool] = False  # planned only if healer.yml lists it and it is possible; else the next one
    cooldown: ClassVar[float] = 300.0  # seconds before it may run again there; not once a run's own time was measured
    proven_within: ClassVar[float] = math.inf  # seconds from the intent, if that is sooner than the start_timeout
    look_again: ClassVar[bool] = False  # once proven, it is looked whether anything else is wrong; False: healed

    def possible(self, facts: Facts) -> bool:
        """True if it can be done there at all, as far as the facts tell. Only one that is optional is asked."""
        return True

    def plan(self, incident: Incident, diagnosis: Diagnosis, facts: Facts) -> Plan:
        """Names the one incarnation it is decided on. `choose` adds whether healer.yml allows it."""
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
        )

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        """A sentence that says what will be done and why."""
        raise NotImplementedError

    def waits(self, diagnosis: Diagnosis) -> bool:
        """True if verification follows, as it always does after a destructive action."""
        return self.destructive

    def carry_out(self, handle: Handle) -> Result:
        """Does it with the handle's verbs; what they raise is the caller's.

        After a crash of the healer it is called again from its beginning: what is done already must not be done twice.
        """
        raise NotImplementedError

    def take_back(self, handle: Handle) -> str:
        """Undoes it once it has a verdict, and returns what was done in words; '' if there is nothing to undo.

        It may be called more than once, and never is when the healer dies before it: an effect must also end by itself.
        """
        return ""

    def untouched(self, plan: Plan, facts: Facts) -> bool:
        """True if nothing has reached the server although a step was journalled: then the plan is judged anew."""
        return False

    def prove(self, plan: Plan, evidence: Evidence) -> Proof:
        """The proof that the action helped, or what it lacks. It is asked for until it is there or its time is over."""
        return answers(evidence)

    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

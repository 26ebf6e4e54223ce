"""Decide: gather, diagnose, choose and guard, in this order and only here.

The worker decides what to do and whether an interrupted action is still wanted; `simulate` shows the same decision.
"""

from __future__ import annotations

from dataclasses import dataclass

from vllm_healer.config import Config
from vllm_healer.ledger import Ledger
from vllm_healer.model import Diagnosis, Facts, Incident, Instant, Look, Plan, Refusal, Target
from vllm_healer.pipeline.choose import choose
from vllm_healer.pipeline.diagnose import diagnose
from vllm_healer.pipeline.gather import QUICK_CANARY, gather
from vllm_healer.pipeline.guard import guard
from vllm_healer.pipeline.sources import Sources


@dataclass(frozen=True)
class Decision:
    """The cause, the plan against it, and the facts that both rest on."""

    facts: Facts
    diagnosis: Diagnosis
    plan: Plan
    config: Config

    def against(self, ledger: Ledger) -> Refusal | None:
        """The first reason not to carry out the plan, or None. The worker asks inside the journal's reservation."""
        return guard(self.plan, self.facts, ledger, self.config.limits, self.config.mode_of(self.plan.remediation))


def decide(incident: Incident, sources: Sources, earlier: Look | None = None, canary: float = QUICK_CANARY) -> Decision:
    """Reads the world and decides; `earlier` is a look to compare the engine's values with. Never raises Blind."""
    return decide_on(incident, gather(incident, sources, earlier, canary), sources.config)


def decide_on(incident: Incident, facts: Facts, config: Config) -> Decision:
    """The decision on facts that were read before. Pure."""
    diagnosis = diagnose(incident, facts)
    return Decision(facts, diagnosis, choose(incident, diagnosis, facts, config.remediations), config)


def waiting_plan(incident: Incident, target: Target, now: Instant) -> Plan:
    """The plan of a watch that was begun before the healer was restarted: only its verification is left."""
    starting = Diagnosis("starting", "the supervisor was starting it")
    return choose(incident, starting, Facts(now=now, target=target), ())

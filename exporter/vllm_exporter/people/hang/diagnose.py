"""Names the likely cause of what was seen, from the first rule that finds one, and those of the other rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_exporter.people.hang.causes import CAUSES, Cause
from vllm_exporter.people.hang.evidence import HangEvidence
from vllm_exporter.people.hang.finding import Finding
from vllm_exporter.people.hang.rules import RULES


@dataclass(frozen=True)
class Diagnosis:
    """The likely cause. `others` are further causes with evidence, the likelier first."""

    server: str
    finding: Finding
    others: tuple[Finding, ...]

    @property
    def cause(self) -> Cause:
        return CAUSES[self.finding.cause]

    @property
    def advice(self) -> tuple[str, ...]:
        """Returns what to try, in this order."""
        return self.finding.advice + self.cause.advice


def diagnose(seen: HangEvidence) -> Diagnosis:
    """Returns a diagnosis in any case: the last rule always finds something."""
    findings = [finding for rule in RULES if (finding := rule(seen)) is not None]
    first = findings[0]
    if not CAUSES[first.cause].hang or first.certainty == "certain":
        return Diagnosis(seen.server, first, ())
    others = tuple(one for one in findings[1:] if CAUSES[one.cause].hang and one.cause != "engine_stuck")
    return Diagnosis(seen.server, first, others)

"""The worker's dependencies: all that decisions read, a journal that can be written, and the ways to be heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vllm_healer.journal import Journal
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import Facts, Permit
from vllm_healer.pipeline.sources import Sources


def no_evidence(permit: Permit, facts: Facts) -> str:
    """Keeps nothing."""
    return ""


@dataclass(frozen=True)
class Deps(Sources):
    """The sources, and what changes when an incident is worked on."""

    journal: Journal
    own: HealerMetrics
    tell: Callable[[str], bool]  # the fallback channel, for when alerts cannot travel; True: it was delivered
    keep: Callable[[Permit, Facts], str] = no_evidence  # keeps what an action destroys; returns where, '' if nowhere

"""What the worker works with: the ports of the world, the journal and the settings, passed in once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vllm_healer.config import Config
from vllm_healer.journal import Journal, JournalReader
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import Target
from vllm_healer.ports import ActiveAlerts, Actuator, Clock, Eyes, Metrics


@dataclass(frozen=True)
class Sight:
    """Everything that can be looked at, and nothing that can be changed: enough to judge, as `simulate` does."""

    config: Config
    clock: Clock
    journal: JournalReader
    prometheus: Metrics
    alertmanager: ActiveAlerts
    eyes: Eyes
    actuators: Mapping[str, Actuator]

    @property
    def listed(self) -> frozenset[str]:
        """The servers of healer.yml: all that may ever be acted on."""
        return frozenset(target.server for target in self.config.targets)

    def target(self, server: str) -> Target | None:
        """The one listed target of that name; config has refused doubles."""
        return next((target for target in self.config.targets if target.server == server), None)


@dataclass(frozen=True)
class Deps(Sight):
    """The same with a journal that can be written, and the ways to be heard."""

    journal: Journal
    own: HealerMetrics
    tell: Callable[[str], None]  # the fallback channel, for when alerts cannot travel

"""The sources of a decision: the settings and the ports of the world and of the journal, passed in once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vllm_healer.config import Config
from vllm_healer.model import Target
from vllm_healer.ports import ActiveAlerts, Actuator, Clock, Eyes, Memory, Metrics


@dataclass(frozen=True)
class Sources:
    """Everything that a decision may read. Nothing here is changed by deciding, so `simulate` uses it as it is."""

    config: Config
    clock: Clock
    journal: Memory
    prometheus: Metrics
    alertmanager: ActiveAlerts
    eyes: Eyes
    actuators: Mapping[str, Actuator]

    @property
    def listed(self) -> frozenset[str]:
        """The servers of healer.yml. No other may ever be acted on."""
        return frozenset(target.server for target in self.config.targets)

    def target(self, server: str) -> Target | None:
        """The one listed target of that name; config has refused doubles."""
        return next((target for target in self.config.targets if target.server == server), None)

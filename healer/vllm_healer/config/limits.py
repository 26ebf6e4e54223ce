"""The brakes of healer.yml: each bounds what one wrong diagnosis can break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vllm_healer.config.windows import Window, read_windows
from vllm_healer.config.yaml_lines import Value
from vllm_healer.registry import remediations

AFTER_A_START = 60.0  # seconds beyond a measured start: one that did not help shows it by then


def own_cooldowns() -> dict[str, float]:
    """The cooldown in seconds that each destructive remediation declares."""
    return {name: one.cooldown for name, one in remediations().items() if one.destructive}


@dataclass(frozen=True)
class Limits:
    """The section `limits`. Counts of actions are of those that change something; telling is free."""

    cooldown_seconds: dict[str, float] = field(default_factory=dict)  # by remediation; what is said here holds always
    budget_per_hour: int = 6  # actions per server: several remedies, each of which the breaker bounds by itself
    budget_per_hour_in_all: int = 20  # actions on all servers: more than that is no repair but an outage with a cause
    breaker_after: int = 3  # times within breaker_hours; what three restarts did not cure for good, a fourth will not
    breaker_hours: float = 4.0  # half of a shift: somebody is there to be told
    blast_radius_percent: float = 50.0  # of a pool's servers that may be acted on within an hour, and two always may
    blast_radius_servers: int = 5  # of them at most, however large the pool is
    minimum_healthy: int = 0  # other servers of the pool that must be healthy; 0 fits a single server, fleets want >= 1
    max_signal_age: float = 15.0  # seconds; a sample older than three scrapes says nothing of now
    reopen_after: float = 120.0  # seconds in which an echo of a closed incident opens none: Alertmanager resolves late
    give_up_after: int = 5  # times in a row that one remedy may not help a server; more need a person, not time
    maintenance: tuple[Window, ...] = ()  # when nothing is done, since people work there
    approval: tuple[Window, ...] = ()  # what a person has to approve first

    def cooldown(self, remediation: str, took: float = 0.0) -> float:
        """The cooldown in seconds from the intent. `took`: what it took to prove itself last time; 0 is not known.

        A remediation that is not known rests for the longest time there is.
        """
        if remediation in self.cooldown_seconds:
            return self.cooldown_seconds[remediation]
        if took > 0:
            return took + AFTER_A_START
        return own_cooldowns().get(remediation, self.longest_cooldown)

    @property
    def longest_cooldown(self) -> float:
        return max([*self.cooldown_seconds.values(), *own_cooldowns().values()])


def read_limits(given: Mapping[str, Value]) -> Limits:
    """The section as it takes effect; `given` has every key. Raises ConfigError with the line."""

    def whole(key: str, minimum: int) -> int:
        return given[key].whole(key, minimum, getattr(Limits, key))

    def number(key: str, minimum: float) -> float:
        return given[key].number(key, minimum, getattr(Limits, key))

    return Limits(
        cooldown_seconds=_cooldowns(given["cooldown_seconds"]),
        budget_per_hour=whole("budget_per_hour", 0),
        budget_per_hour_in_all=whole("budget_per_hour_in_all", 0),
        breaker_after=whole("breaker_after", 1),
        breaker_hours=number("breaker_hours", 1),
        blast_radius_percent=number("blast_radius_percent", 0),
        blast_radius_servers=whole("blast_radius_servers", 0),
        minimum_healthy=whole("minimum_healthy", 0),
        max_signal_age=number("max_signal_age", 1),
        reopen_after=number("reopen_after", 0),
        give_up_after=whole("give_up_after", 1),
        maintenance=read_windows(given["maintenance"], "maintenance"),
        approval=read_windows(given["approval"], "approval"),
    )


def _cooldowns(value: Value) -> dict[str, float]:
    given = value.mapping(remediations(), "cooldown_seconds")
    return {name: one.number(f"cooldown_seconds.{name}", 0, Limits().cooldown(name)) for name, one in given.items()}

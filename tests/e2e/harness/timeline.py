"""From fault to verified: what was seen from outside while a scenario ran, and the seconds between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.e2e.harness import httpio

EVERY = 0.25  # seconds between two looks: the resolution of alert and health times


@dataclass(frozen=True)
class Timeline:
    """Seconds since the epoch; None: it did not happen."""

    scenario: str
    fault: float
    alerts: dict[str, float] = field(default_factory=dict)  # alert name -> first seen active in Alertmanager
    intended: float | None = None  # the intent was journalled
    started: float | None = None  # the actuator's first step was journalled
    spawned: float | None = None  # the new API server process
    healthy: float | None = None  # its first /health 200
    verified: float | None = None  # the incident was closed as healed

    @property
    def to_alert(self) -> float | None:
        return min(self.alerts.values()) - self.fault if self.alerts else None

    @property
    def to_start(self) -> float | None:
        return _between(self.fault, self.started)

    @property
    def to_verified(self) -> float | None:
        return _between(self.fault, self.verified)

    @property
    def own_start(self) -> float | None:
        """vLLM's own start: what no healer can shorten."""
        return _between(self.spawned, self.healthy)

    @property
    def overhead(self) -> float | None:
        """Actuator call to verified, without vLLM's own start."""
        whole, own = _between(self.started, self.verified), self.own_start
        return None if whole is None or own is None else whole - own

    def words(self) -> str:
        in_order = sorted(self.alerts.items(), key=lambda alert: alert[1])
        alerts = ", ".join(f"{name} {at - self.fault:.1f} s" for name, at in in_order)
        figures = {
            "intended": _between(self.fault, self.intended), "actuator called": self.to_start,
            "verified": self.to_verified, "vLLM's own start": self.own_start, "overhead": self.overhead,
        }  # fmt: skip
        shown = "; ".join(f"{name} {value:.1f} s" for name, value in figures.items() if value is not None)
        return f"{self.scenario}: alerts: {alerts or 'none'}; {shown or 'nothing was done'}"


@dataclass(frozen=True)
class HealthSeen:
    """One GET /health: its moment, and the status or 0."""

    at: float
    status: int


class Watch:
    """Looks at Alertmanager and /health in the background, from the fault on."""

    def __init__(self, alertmanager: str, server: str, health_url: str) -> None:
        self.fault = time.time()
        self.alerts: dict[str, float] = {}
        self.health: list[HealthSeen] = []
        matcher = quote(f'server="{server}"')
        self._alerts_url = f"{alertmanager}/api/v2/alerts?active=true&filter={matcher}"
        self._health_url = health_url
        self._stop = threading.Event()
        looks = (self._see_alerts, self._see_health)
        self._threads = [threading.Thread(target=self._loop, args=(look,), daemon=True) for look in looks]

    def __enter__(self) -> Watch:
        self.fault = time.time()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def statuses(self, until: float) -> set[int]:
        """What /health answered before that moment."""
        return {seen.status for seen in self.health if seen.at < until}

    def healthy_after(self, moment: float) -> float | None:
        return next((seen.at for seen in self.health if seen.at >= moment and seen.status == 200), None)

    def _loop(self, look: Callable[[], None]) -> None:
        while not self._stop.wait(EVERY):
            look()

    def _see_alerts(self) -> None:
        for alert in httpio.get_json(self._alerts_url, timeout=2) or []:
            self.alerts.setdefault(alert["labels"]["alertname"], time.time())

    def _see_health(self) -> None:
        at = time.time()
        self.health.append(HealthSeen(at, httpio.status(self._health_url, timeout=5)))


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start

"""Tells of listed servers whose alerts Alertmanager holds back, so that nothing is done about them.

A person silences an alert for an upgrade, and forgets it. Or whoever can reach Alertmanager switches healing off: by a
silence, or by an alert of his own that inhibits the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from vllm_healer.model import Alert, Standing
from vllm_healer.pipeline.correlate import names
from vllm_healer.registry import detectors
from vllm_healer.worker.deps import Deps


class Suppressed:
    """Remembers what is held back, and journals each beginning and end once."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._known: dict[str, str] = {}  # server -> names of its alerts that are held back
        self._deps.own.suppressed(dict.fromkeys(deps.listed, 0))

    def update(self, active: Iterable[Alert]) -> None:
        """Hears in each round what Alertmanager has."""
        held = held_back(active, self._deps.listed)
        self._deps.own.suppressed({server: len(held.get(server, ())) for server in self._deps.listed})
        now = {server: names(alerts) for server, alerts in held.items()}
        for server, words in now.items():
            if self._known.get(server) != words:
                self._note(
                    f"{words} of {server} is silenced in Alertmanager, or inhibited by another alert: "
                    "nothing is done about it until that ends"
                )
        for server in self._known.keys() - now.keys():
            self._note(f"{self._known[server]} of {server} is not held back in Alertmanager any more")
        self._known = now

    def _note(self, words: str) -> None:
        self._deps.journal.note(None, "note", words, self._deps.clock.now())


def held_back(active: Iterable[Alert], listed: Iterable[str]) -> dict[str, tuple[Alert, ...]]:
    """Returns by server the alerts that would support a destructive action, were they not suppressed.

    A server of which another such alert is sent is left out: VllmDown rightly inhibits the rest, and is acted on.
    """
    wanted = destructive_alerts()
    found: dict[str, list[Alert]] = {server: [] for server in listed}
    for alert in active:
        if alert.server in found and alert.name in wanted and alert.healable:
            found[alert.server].append(alert)
    return {
        server: tuple(alerts)
        for server, alerts in found.items()
        if alerts and all(alert.standing is Standing.SUPPRESSED for alert in alerts)
    }


def destructive_alerts() -> frozenset[str]:
    """Returns the names of alerts that support an action which ends a server or its processes."""
    supporting = (detector.alerts for detector in detectors().values() if detector.destructive_may_help)
    return frozenset().union(*supporting)

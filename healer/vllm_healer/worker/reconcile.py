"""Compares what the healer believes with the world, every 15 seconds: webhooks get lost, and servers move on.

Alertmanager is asked what fires; listed servers are looked at, so that their process trees and the fact that they were
ready once are known before anything breaks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from vllm_healer.elapsed import elapsed
from vllm_healer.errors import Blind
from vllm_healer.model import Alert, Health, Incident, IncidentState, Instant, Target
from vllm_healer.pipeline.correlate import names
from vllm_healer.pipeline.gather import PATIENT_CANARY, observe
from vllm_healer.pipeline.watchdog import missing_watchdog
from vllm_healer.worker.deps import Deps

log = logging.getLogger(__name__)

WATCHDOG_MISSING = 300.0  # seconds without Prometheus' Watchdog before a person is told by the fallback channel
SETTLE = 30.0  # seconds an incident stays open although nothing fires: the alert may only be between two states


class Reconciler:
    """Compares and makes up for what was missed. One thread calls it."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._watchdog_seen: Instant = deps.clock.now()
        self._told = False

    def alerts(self) -> None:
        """Opens incidents that a lost webhook would have opened and closes those that nothing fires for any more."""
        try:
            active = self._deps.alertmanager.active()
        except Blind as error:
            log.warning("reconcile: Alertmanager did not answer: %s", error)
            self._watchdog("Prometheus or Alertmanager is down or cut off")
            return
        missing = missing_watchdog(active)
        self._watchdog(missing)
        incidents = self._deps.journal.open_incidents()
        self._make_up(active, {incident.server: incident for incident in incidents})
        if (
            not missing
        ):  # an Alertmanager that was just restarted has no alerts at all until Prometheus sends them again
            self._close_gone(incidents, active)
        self._deps.own.last_reconcile.set(self._deps.clock.now().wall)

    def observe(self, target: Target) -> None:
        """Remembers the target's incarnation, its processes, and whether it was ever ready."""
        supervisor = observe(target, self._deps, [])
        if supervisor is None:
            return
        unsettled = self._deps.journal.unsettled(target.server)
        seen = self._deps.eyes.look(target, canary=PATIENT_CANARY if unsettled else 0)
        ready = seen.health is Health.OK
        self._deps.journal.remember(
            target.server, supervisor.incarnation.key, ready, supervisor.tree, self._deps.clock.now()
        )

        if unsettled and ready and seen.canary is not None and seen.canary.ok:
            words = f"{target.server} answers again: /health is ok and a token came back"
            self._deps.journal.settle(target.server, words, self._deps.clock.now())

    def _make_up(self, active: Iterable[Alert], incidents: Mapping[str, Incident]) -> None:
        """Opens what a lost webhook would have opened, for listed servers only: about others nothing would be done."""
        now = self._deps.clock.now()
        by_server: dict[str, list[Alert]] = {}
        for alert in active:
            if alert.server in self._deps.listed and not _has(incidents.get(alert.server), alert):
                by_server.setdefault(alert.server, []).append(alert)
        for server, alerts in by_server.items():
            if server in incidents:
                self._deps.journal.attach(incidents[server].id, alerts)
            elif self._settled(server, now):
                words = f"Alertmanager says that {names(alerts)} fires for {server}, and no incident was open"
                self._deps.journal.open_incident(server, tuple(alerts), now, words)

    def _settled(self, server: str, now: Instant) -> bool:
        """True if an alert of this server is no echo: Alertmanager resolves late what was closed a moment ago."""
        closed = self._deps.journal.last_closed(server)
        if closed is None:
            return True
        incident, at = closed
        wait = self._deps.config.limits.reopen_after
        if incident.state is IncidentState.FAILED:
            wait = max(wait, self._deps.config.limits.longest_cooldown)
        return elapsed(at, now) >= wait

    def _close_gone(self, incidents: Iterable[Incident], active: tuple[Alert, ...]) -> None:
        now = self._deps.clock.now()
        firing = {alert.server for alert in active}
        for incident in incidents:
            if incident.state is not IncidentState.OPEN or incident.server in firing:
                continue
            if elapsed(incident.opened, now) >= SETTLE:
                words = "no alert of it is active any more (resolved, silenced or inhibited); no action was needed"
                self._deps.journal.set_state(incident.id, IncidentState.RESOLVED, words, now)

    def _watchdog(self, missing: str) -> None:
        """Tells a person once when it has been missing for long; `missing` says why, '' that it is there."""
        now = self._deps.clock.now()
        if not missing:
            self._watchdog_seen, self._told = now, False
            return
        seconds = elapsed(self._watchdog_seen, now)
        if seconds >= WATCHDOG_MISSING and not self._told:
            self._told = True
            words = f"no Watchdog alert for {seconds:.0f} s: {missing}; the healer takes no action until it is back"
            self._deps.tell(words)  # first: the journal's disk may be what is broken
            self._deps.journal.note(None, "note", words, now)


def _has(incident: Incident | None, alert: Alert) -> bool:
    return incident is not None and alert.fingerprint in {known.fingerprint for known in incident.alerts}

"""Compares what the healer believes with the world, every 15 seconds: webhooks get lost, and servers move on.

Alertmanager is asked what fires; listed servers are looked at, so that their process trees and the fact that they were
ready once are known before anything breaks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from vllm_healer.elapsed import elapsed
from vllm_healer.errors import Blind
from vllm_healer.leftover import answered_by_another
from vllm_healer.model import Alert, Canary, Health, Incident, IncidentState, Instant, RunState, Standing, Target
from vllm_healer.pipeline.correlate import may_open, names
from vllm_healer.pipeline.gather import PATIENT_CANARY, observe
from vllm_healer.pipeline.watchdog import missing_watchdog
from vllm_healer.presence import serves_nobody
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.outcry import Outcry
from vllm_healer.worker.suppressed import Suppressed

log = logging.getLogger(__name__)

SETTLE = 30.0  # seconds an incident stays open although nothing fires: the alert may only be between two states
# Seconds in which Prometheus has sent again what fires to an Alertmanager that was restarted and knows nothing: each
# alert in its own minute (--rules.alert.resend-delay), and one may be lost.
SENT_AGAIN = 180.0
# Seconds in which Alertmanager sends an alert itself, and knows whether a mute time holds for it: it looks when it
# sends first, after the group_wait, 30 s by default.
FIRST_SENT = 60.0


class Reconciler:
    """Compares and makes up for what was missed. One thread calls `alerts`, one a target `observe`."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._outcry = Outcry(deps)
        self._suppressed = Suppressed(deps)
        self._sent: dict[str, Instant] = {}  # by fingerprint: since when it is known to be sent
        self._missed: dict[int, Instant] = {}  # by incident: since when Alertmanager lacks an alert of it
        self._down: dict[str, bool] = {}  # by server: whether our last look found it down, and nobody wants it so

    def alerts(self) -> None:
        """Opens incidents that a lost webhook would have opened and closes those that nothing fires for any more."""
        incidents = self._deps.journal.open_incidents()
        try:
            active = self._deps.alertmanager.active(self._deps.listed | {incident.server for incident in incidents})
        except Blind as error:
            log.warning("reconcile: Alertmanager did not answer: %s", error)
            self._missed.clear()
            self._outcry.watchdog("Prometheus or Alertmanager is down or cut off")
            return
        missing = missing_watchdog(active)
        self._outcry.watchdog(missing)
        self._suppressed.update(active)
        self._make_up(active, {incident.server: incident for incident in incidents})
        if missing:  # an Alertmanager that was just restarted has no alerts at all until Prometheus sends them again
            self._missed.clear()
        else:
            self._close_gone(incidents, active)
        self._deps.own.last_reconcile.set(self._deps.clock.now().wall)

    def observe(self, target: Target) -> None:
        """Remembers the target's incarnation, its processes, and whether it was ever ready."""
        supervisor = observe(target, self._deps, [])
        if supervisor is None:
            return
        unsettled = self._deps.journal.unsettled(target.server)
        seen = self._deps.eyes.look(target, canary=PATIENT_CANARY if unsettled else 0)
        ready = seen.health is Health.OK and not answered_by_another(supervisor)
        self._down[target.server] = serves_nobody(seen, supervisor) and supervisor.state is not RunState.STOPPED
        alive = frozenset(key for key, left in supervisor.survivors.items() if left)
        now, key = self._deps.clock.now(), supervisor.incarnation.key
        self._deps.journal.remember(target.server, key, ready, supervisor.tree, now, alive)

        if unsettled and ready and seen.canary is not None:
            self._settle(target, seen.canary)

    def _settle(self, target: Target, canary: Canary) -> None:
        """Lets failed actions count no more on a server that answers. A model that completes no text shows no more."""
        if canary.ok or not canary.applicable:
            more = "a token came back" if canary.ok else "no canary applies to it"
            words = f"{target.server} answers again: /health is ok and {more}"
            self._deps.journal.settle(target.server, words, self._deps.clock.now())

    def _make_up(self, active: Iterable[Alert], incidents: Mapping[str, Incident]) -> None:
        """Opens what a lost webhook would have opened, for listed servers only: about others nothing would be done."""
        now = self._deps.clock.now()
        sent = [alert for alert in active if alert.standing is Standing.SENT]
        self._sent = {alert.fingerprint: self._sent.get(alert.fingerprint, now) for alert in sent}
        by_server: dict[str, list[Alert]] = {}
        for alert in active:
            known = incidents.get(alert.server)
            if alert.server in self._deps.listed and not _has(known, alert) and self._was_sent(alert, known, now):
                by_server.setdefault(alert.server, []).append(alert)
        for server, alerts in by_server.items():
            if server in incidents:
                self._deps.journal.attach(incidents[server].id, alerts)
            elif any(map(may_open, alerts)) and self._settled(server, now):
                words = f"Alertmanager says that {names(alerts)} fires for {server}, and no incident was open"
                self._deps.journal.open_incident(server, tuple(alerts), now, words)

    def _was_sent(self, alert: Alert, known: Incident | None, now: Instant) -> bool:
        """True if Alertmanager has sent the alert, or must have: by its routes and mute times, or by a webhook heard.

        A webhook's alert without an incident waits for `correlate`, or belongs to the last incident of its server.
        """
        if alert.standing not in (Standing.SENT, Standing.UNKNOWN):
            return False
        if alert.standing is Standing.SENT and elapsed(self._sent[alert.fingerprint], now) >= FIRST_SENT:
            return True
        closed = self._deps.journal.last_closed(alert.server) if known is None else None
        heard = closed[0].alerts if closed is not None else ()
        return any(one.fingerprint == alert.fingerprint and one.standing is Standing.SENT for one in heard)

    def _settled(self, server: str, now: Instant) -> bool:
        """True if an alert of this server is no echo: Alertmanager resolves late what was closed a moment ago."""
        closed = self._deps.journal.last_closed(server)
        if closed is None:
            return True
        incident, at = closed
        if incident.state is IncidentState.RESOLVED:  # nothing was done, and Alertmanager had it no more
            return True
        wait = self._deps.config.limits.reopen_after
        if incident.state is IncidentState.FAILED:
            wait = max(wait, self._deps.config.limits.longest_cooldown)
        return elapsed(at, now) >= wait

    def _close_gone(self, incidents: Iterable[Incident], active: tuple[Alert, ...]) -> None:
        """Closes what nothing fires for any more, when it is known why. An alert that is only missing may come back."""
        now = self._deps.clock.now()
        standings = {(alert.server, alert.name): alert.standing for alert in active}
        self._missed = {incident.id: self._missed[incident.id] for incident in incidents if incident.id in self._missed}
        sent = (alert for alert in active if alert.standing in (Standing.SENT, Standing.UNKNOWN))
        firing = {alert.server for alert in sent if may_open(alert)}
        for incident in incidents:
            if incident.state is not IncidentState.OPEN or incident.server in firing:
                self._missed.pop(incident.id, None)
                continue
            why = self._why_gone(incident, standings, now)
            if why and elapsed(incident.opened, now) >= SETTLE:
                self._missed.pop(incident.id, None)
                self._deps.journal.set_state(incident.id, IncidentState.RESOLVED, self._over(incident, why), now)

    def _why_gone(self, incident: Incident, standings: Mapping[tuple[str, str], Standing], now: Instant) -> str:
        """Words for where its alerts went; '' while they may be back."""
        unresolved = [alert for alert in incident.alerts if alert.firing and may_open(alert)]
        held_back = {standing.value for alert in unresolved if (standing := standings.get((alert.server, alert.name)))}
        missing = [alert for alert in unresolved if (alert.server, alert.name) not in standings]
        if not missing:
            self._missed.pop(incident.id, None)
            return " and ".join(sorted(held_back)) or "resolved"
        since = elapsed(self._missed.setdefault(incident.id, now), now)
        if since < SENT_AGAIN or self._down.get(incident.server, False):
            return ""
        return f"Alertmanager has had no {names(missing)} for {since:.0f} s"

    def _over(self, incident: Incident, why: str) -> str:
        words = f"no alert of it is active any more ({why})"
        if self._down.get(incident.server, False):
            return f"{words}; nothing was done, and {incident.server} is down by the healer's own look"
        return f"{words}; no action was needed"


def _has(incident: Incident | None, alert: Alert) -> bool:
    return incident is not None and alert.fingerprint in {known.fingerprint for known in incident.alerts}

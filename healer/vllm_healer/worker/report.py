"""Reports in metrics what the journal says, once a round: incidents, who needs a person, and what is worked on."""

from __future__ import annotations

from collections.abc import Iterable

from vllm_healer.elapsed import elapsed
from vllm_healer.journal import IncidentSummary
from vllm_healer.model import IncidentState, Instant
from vllm_healer.pipeline.guard import PASSING
from vllm_healer.pipeline.verify import time_allowed
from vllm_healer.registry import remediations
from vllm_healer.worker.deps import Deps

ENDED = 20  # closed incidents of listed servers that are shown: a few days' on most hosts, a screen on a board
NEVER_TOUCHED = "dry_run"  # the actuator of targets that are only watched


class Report:
    """Publishes. One thread calls it."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._touched = [target for target in deps.config.targets if target.actuator != NEVER_TOUCHED]
        deps.own.start_at_zero(deps.listed, [name for name, one in remediations().items() if one.destructive])

    def publish(self) -> None:
        """Sets all of it. How work ended is set before that it ended: a scrape in between must not see neither."""
        deps, own = self._deps, self._deps.own
        summaries = [one for one in deps.journal.summaries() if one.server in deps.listed]
        shown = choose_shown(summaries)
        own.paused.set(bool(deps.journal.paused()))
        own.given_up.replace(dict.fromkeys(self._given_up(), 1.0))
        own.needs_person.replace(dict.fromkeys(needing(summaries), 1.0))
        own.incident_started.replace({_labels(one): one.opened for one in shown})
        own.incident_ended.replace({_labels(one): one.closed for one in shown if one.closed is not None})
        own.working_until.replace({(server,): end for server, end in self._deadlines().items()})
        counts = deps.journal.incident_counts()
        for state in IncidentState:
            own.incidents.labels(state=state.value).set(counts.get(state, 0))

    def _given_up(self) -> list[tuple[str, str]]:
        limit, failing = self._deps.config.limits.give_up_after, self._deps.journal.failing()
        return [pair for pair, count in failing.items() if count >= limit and pair[0] in self._deps.listed]

    def _deadlines(self) -> dict[str, float]:
        """The moment, in seconds since the epoch, until which the work on each server that may be acted on has to be
        proven; 0 while there is none."""
        deps, now = self._deps, self._deps.clock.now()
        ends = {target.server: 0.0 for target in self._touched}
        acting = {one.permit.plan.server: one.permit for one in deps.journal.unfinished()}
        watched = {one.server: one for one in deps.journal.open_incidents() if one.state is IncidentState.VERIFYING}
        for target in self._touched:
            permit, incident = acting.get(target.server), watched.get(target.server)
            if permit is not None:
                ends[target.server] = _until(permit.at, time_allowed(permit.plan, target.start_timeout), now)
            elif incident is not None:
                ends[target.server] = _until(deps.journal.entered(incident.id), target.start_timeout, now)
        return ends


def needing(summaries: Iterable[IncidentSummary]) -> set[tuple[str, str]]:
    """Each (server, cause) that only a person can help: its healing failed, or is refused and not for a moment."""
    return {
        (one.server, one.cause or "unknown")
        for one in summaries
        if one.needs_person or (one.refused and one.refused not in PASSING)
    }


def choose_shown(summaries: Iterable[IncidentSummary]) -> list[IncidentSummary]:
    """The open incidents and the newest closed ones."""
    every = list(summaries)
    closed = sorted((one for one in every if one.closed is not None), key=lambda one: one.id)
    return [*(one for one in every if one.closed is None), *closed[-ENDED:]]


def _labels(one: IncidentSummary) -> tuple[str, ...]:
    return str(one.id), one.server, one.cause, one.remediation, one.state.value


def _until(begun: Instant, allowed: float, now: Instant) -> float:
    """A moment of the wall clock, reckoned from now: it may have been set since the work began."""
    return float(round(now.wall + allowed - elapsed(begun, now)))

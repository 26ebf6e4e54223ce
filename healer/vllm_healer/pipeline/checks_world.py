"""Checks against the world: it is a target, we see it, it still fires, and it is still the same process.

Each returns a Refusal or None. What is not known refuses.
"""

from __future__ import annotations

from dataclasses import fields

from vllm_healer.model import Refusal, RunState, Signal, Signals, Verb
from vllm_healer.pipeline.case import HOUR, Case
from vllm_healer.pipeline.gather import most
from vllm_healer.proof import Evidence, answers
from vllm_healer.registry import detectors

BY_A_PERSON = frozenset({RunState.STOPPED, RunState.STOPPING})


def unlisted_target(case: Case) -> Refusal | None:
    """Refuses a server that healer.yml does not list: an alert can name anything."""
    target = case.facts.target
    if target is not None and target.server == case.plan.server:
        return None
    problem = case.facts.target_problem or f"{case.plan.server or 'a nameless server'} is not listed in healer.yml"
    return Refusal("unlisted_target", problem)


def not_destructive_cause(case: Case) -> Refusal | None:
    """Refuses unless the cause's own detector says that a destructive action may help; 'unknown' has no detector."""
    cause = case.plan.diagnosis.cause
    known = case.remediation()
    if known is not None and known.reversible and cause in known.causes:
        return None
    detector = detectors().get(cause)
    if detector is not None and detector.destructive_may_help:
        return None
    return Refusal("not_destructive_cause", f"{case.plan.remediation} does not cure the cause '{cause}'")


def blind(case: Case) -> Refusal | None:
    """Refuses when a source did not answer: it might have known why not to act."""
    facts = case.facts
    if facts.blind:
        return Refusal("blind", f"did not answer: {'; '.join(facts.blind)}")
    read = {"the healer's own look": facts.look, "the supervisor": facts.supervisor, "Prometheus": facts.signals}
    missing = [name for name, value in read.items() if value is None]
    return Refusal("blind", f"not read: {', '.join(missing)}") if missing else None


def stale_data(case: Case) -> Refusal | None:
    """Refuses on samples older than `max_signal_age`, and without any unless our own look says that it is down."""
    known, allowed = _known(case.facts.signals or Signals()), case.limits.max_signal_age
    if not known and not case.down_by_own_look():
        return Refusal("stale_data", f"Prometheus has no sample of {case.plan.server}: look at the exporter")
    old = [f"{name} {signal.age:.0f} s" for name, signal in known if not signal.age <= allowed]  # 'not <=': NaN is old
    return Refusal("stale_data", f"samples too old ({allowed:.0f} s allowed): {', '.join(old)}") if old else None


def not_firing(case: Case) -> Refusal | None:
    """Refuses when Alertmanager sends no alert any more that supports the cause."""
    supporting, cause = case.plan.diagnosis.supporting_alerts, case.plan.diagnosis.cause
    if supporting & case.facts.still_firing:
        return None
    if not supporting:
        return Refusal("not_firing", f"none of the incident's alerts supports an action on {cause}")
    names = ", ".join(sorted(supporting))
    why = "resolved, silenced, inhibited, muted, not sent here or not healable"
    return Refusal("not_firing", f"{names} is not active any more ({why})")


def watchdog(case: Case) -> Refusal | None:
    """Refuses without the alert that always fires: the way from Prometheus to here is broken then."""
    if case.facts.watchdog:
        return None
    problem = case.facts.watchdog_problem or "Alertmanager has no Watchdog alert from Prometheus"
    return Refusal("blind", f"{problem}: the alerts cannot be trusted")


def observer_fault(case: Case) -> Refusal | None:
    """Refuses when most servers look bad and our own look finds one of them well: who looks is what is wrong then."""
    facts = case.facts
    if not most(len(facts.looking_bad), facts.listed):
        return None
    well = [server for server, look in facts.other_looks.items() if not answers(Evidence(None, look, None)).missing]
    if not well:
        return None
    words = (
        f"{len(facts.looking_bad)} of {facts.listed} servers look bad to Prometheus, and {well[0]} answers the healer"
    )
    return Refusal("observer_fault", f"{words}: look at Prometheus and the exporters first")


def never_ready(case: Case) -> Refusal | None:
    """Refuses a server that never worked: it is not broken but unfinished, and a restart repeats the same mistake."""
    if case.facts.seen_ready:
        return None
    return Refusal("never_ready", f"{case.plan.server} was never seen ready: its first start is for a person")


def intended_state(case: Case) -> Refusal | None:
    """Refuses to start what a person stopped."""
    supervisor = case.facts.supervisor
    state, server = supervisor.state if supervisor is not None else RunState.UNKNOWN, case.plan.server
    if state is RunState.UNKNOWN:
        return Refusal("intended_state", f"the supervisor does not say whether {server} should run")
    if state not in BY_A_PERSON or case.own_stop():
        return None
    words = f"{server} is {state.value} by a person: the healer starts nothing that a person stopped"
    return Refusal("intended_state", words)


def server_paused(case: Case) -> Refusal | None:
    """Refuses while the server itself says that it is paused or asleep: a weight update looks like a hang."""
    if case.facts.look is None or case.facts.look.paused is not True:
        return None
    words = f"{case.plan.server} says that it is paused or asleep: only who did that should end it"
    return Refusal("server_paused", words)


def traced(case: Case) -> Refusal | None:
    """Refuses while somebody debugs the server: it stands still because of that, and the evidence would be lost."""
    words = case.facts.supervisor.traced if case.facts.supervisor is not None else ""
    return Refusal("traced", f"somebody is looking into {case.plan.server}: {words}") if words else None


def no_way_back(case: Case) -> Refusal | None:
    """Refuses to stop what could not be started again: a hung server that can be looked at is better than none."""
    known, supervisor = case.remediation(), case.facts.supervisor
    if known is not None and Verb.STOP not in known.verbs:
        return None
    words = supervisor.no_way_back if supervisor is not None else ""
    return Refusal("no_way_back", f"{case.plan.server} could not be started again: {words}") if words else None


def incarnation_changed(case: Case) -> Refusal | None:
    """Refuses when another process would be hit than the one that was judged."""
    supervisor = case.facts.supervisor
    seen = supervisor.incarnation.key if supervisor is not None else ""
    if seen and seen == case.plan.incarnation:
        return None
    words = f"{case.plan.server} is another process than the one that was judged: restarted by another"
    return Refusal("incarnation_changed", words)


def minimum_healthy(case: Case) -> Refusal | None:
    """Refuses when too few others of the pool would serve meanwhile; with 0, the default, a single server is healed.

    A server that is down by our own look takes nothing away from the pool.
    """
    others, needed = case.facts.healthy_others, case.limits.minimum_healthy
    if others >= needed or case.down_by_own_look() or case.reversible():
        return None
    return Refusal("minimum_healthy", f"{others} other healthy servers in pool {case.plan.pool}, {needed} are needed")


def blast_radius(case: Case) -> Refusal | None:
    """Refuses when too many servers of the pool were acted on within the hour: what breaks so many is not in each.

    Two may always be: a pool of two or three is healed as well. What serves nobody is not made worse, and what is taken
    back without loss breaks nothing.
    """
    plan, limits = case.plan, case.limits
    if case.down_by_own_look() or case.reversible():
        return None
    near = case.same_pool()
    others = {entry.server for entry in case.within(HOUR) if entry in near and not entry.dropped}
    touched = len(others | {plan.server})
    share = int(case.facts.pool_size * limits.blast_radius_percent / 100)
    allowed = max(2, min(limits.blast_radius_servers, share))
    if touched <= allowed:
        return None
    words = f"{touched} of {case.facts.pool_size} servers in pool {plan.pool} would be acted on within an hour"
    return Refusal("blast_radius", f"{words}, {allowed} are allowed: a person should look for a common cause")


def _known(signals: Signals) -> list[tuple[str, Signal]]:
    every = {field.name: getattr(signals, field.name) for field in fields(signals)} | dict(signals.more)
    return [(name, signal) for name, signal in every.items() if isinstance(signal, Signal)]

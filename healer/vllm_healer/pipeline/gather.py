"""Gather: reads what a decision rests on, through ports. It decides nothing, and names what does not answer."""

from __future__ import annotations

from collections.abc import Collection

from vllm_healer.errors import Blind
from vllm_healer.model import (
    Alert,
    Facts,
    Incident,
    Instant,
    Look,
    Signals,
    Standing,
    SupervisorView,
    Target,
    TargetMemory,
)
from vllm_healer.names import plain_name
from vllm_healer.pipeline.sources import Sources
from vllm_healer.pipeline.watchdog import missing_watchdog
from vllm_healer.registry import series

QUICK_CANARY = 5.0  # seconds; the exporter's have waited 8 s, twice or more, by the time that this one is sent
PATIENT_CANARY = 30.0
MANY = 3  # listed servers from which on "most of them look bad" says something about who looks
OTHER_LOOKS = 2  # looks at other servers, when most look bad: two that are down are found down in milliseconds


def gather(incident: Incident, sources: Sources, earlier: Look | None = None, canary: float = QUICK_CANARY) -> Facts:
    """All facts about one incident. Never raises for a source that is down; the guards refuse on `blind`.

    `canary`: how many seconds the look waits for a token. What comes back cold takes its time; see PATIENT_CANARY.
    """
    target = sources.target(incident.server)
    if target is None:
        return Facts(now=sources.clock.now(), target=None, target_problem=_problem(incident.server, sources))
    blind: list[str] = []
    seen, supervisor = _look_and_observe(
        target, sources, blind, canary
    )  # first: it takes up to 23 s, and the rest is to be of now
    active = _active(target, sources, blind)
    missing = missing_watchdog(active)
    healthy = _healthy_others(target, sources, blind)
    bad = sources.listed - healthy
    memory = sources.journal.memory(target.server)
    last_alive = next(reversed(memory.trees), "")
    return Facts(
        now=sources.clock.now(),
        target=target,
        signals=_signals(target, sources, blind),
        supervisor=supervisor,
        look=seen,
        earlier=earlier,
        max_signal_age=sources.config.limits.max_signal_age,
        seen_ready=memory.seen_ready,
        was_ready=supervisor is not None and supervisor.incarnation.key == memory.ready_incarnation,
        last_alive=last_alive,
        last_was_ready=last_alive != "" and last_alive == memory.ready_incarnation,
        first_seen=_first_seen(supervisor, memory),
        still_firing=_still_firing(incident, active),
        watchdog=not missing,
        watchdog_problem=missing,
        healthy_others=sum(one.pool == target.pool and one.server in healthy for one in sources.config.targets),
        pool_size=sum(one.pool == target.pool for one in sources.config.targets),
        listed=len(sources.listed),
        looking_bad=bad,
        other_looks=_other_looks(target, bad, sources, canary) if most(len(bad), len(sources.listed)) else {},
        blind=tuple(blind),
    )


def observe(target: Target, sources: Sources, blind: list[str]) -> SupervisorView | None:
    """The supervisor's view of the target, or None, with the reason in `blind`, when it does not answer."""
    try:
        return sources.actuators[target.actuator].observe(target)
    except Blind as error:
        blind.append(f"supervisor: {error}")
        return None


def most(bad: int, listed: int) -> bool:
    """True if so many servers look bad at once that whoever says so may be what is wrong."""
    return listed >= MANY and 2 * bad > listed


def _other_looks(target: Target, bad: Collection[str], sources: Sources, canary: float) -> dict[str, Look]:
    """Our own looks at others that Prometheus does not call healthy."""
    if canary > QUICK_CANARY:  # an action is being followed: what is decided is decided after it
        return {}
    others = [one for one in sources.config.targets if one.server in bad and one.server != target.server]
    return {one.server: sources.eyes.look(one, canary=canary) for one in others[:OTHER_LOOKS]}


def _look_and_observe(
    target: Target, sources: Sources, blind: list[str], canary: float
) -> tuple[Look, SupervisorView | None]:
    """Our own look, and the supervisor's view after it: a person may have stopped the server during the look.

    If it is another process by then, nobody knows which of the two was looked at.
    """
    before = observe(target, sources, blind)
    seen = sources.eyes.look(target, canary=canary)
    after = observe(target, sources, blind) if before is not None else None
    if before is not None and after is not None and before.incarnation.key != after.incarnation.key:
        blind.append(f"own look: the process of {target.server} changed during it")
    return seen, after


def _problem(server: str, sources: Sources) -> str:
    if not server:
        return "the alerts carry no server label, so they name no target"
    known = ", ".join(sorted(target.server for target in sources.config.targets)) or "none"
    return f"{plain_name(server)} is not listed in healer.yml (targets: {known}), so it is only reported"


def _first_seen(supervisor: SupervisorView | None, memory: TargetMemory) -> Instant | None:
    """The first sight of the incarnation that runs now; None for one that came since the last look at the target."""
    same = supervisor is not None and supervisor.incarnation.key == memory.incarnation
    return memory.incarnation_first_seen if same else None


def _active(target: Target, sources: Sources, blind: list[str]) -> tuple[Alert, ...]:
    try:
        return sources.alertmanager.active(frozenset({target.server}))
    except Blind as error:
        blind.append(f"Alertmanager: {error}")
        return ()


def _signals(target: Target, sources: Sources, blind: list[str]) -> Signals | None:
    try:
        return sources.prometheus.signals(target.server, series())
    except Blind as error:
        blind.append(f"Prometheus: {error}")
        return None


def _still_firing(incident: Incident, active: tuple[Alert, ...]) -> frozenset[str]:
    """The names of the incident's alerts that are sent now, in whatever firing period.

    Where Alertmanager does not say whether it sends one, a webhook must have brought it. A silenced, inhibited or muted
    one does not count, and neither does one that says healable="false".
    """
    names = {alert.name for alert in incident.alerts}
    told = {alert.name for alert in incident.alerts if alert.standing is Standing.SENT}
    return frozenset(
        alert.name
        for alert in active
        if alert.server == incident.server
        and alert.healable
        and (
            (alert.standing is Standing.SENT and alert.name in names)
            or (alert.standing is Standing.UNKNOWN and alert.name in told)
        )
    )


def _healthy_others(target: Target, sources: Sources, blind: list[str]) -> frozenset[str]:
    """The listed servers beside this one that Prometheus calls healthy."""
    others = sources.listed - {target.server}
    if not others:
        return frozenset()
    try:
        return sources.prometheus.healthy(others, sources.config.limits.max_signal_age)
    except Blind as error:
        blind.append(f"Prometheus: {error}")
        return frozenset()

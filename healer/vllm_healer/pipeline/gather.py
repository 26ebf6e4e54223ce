"""Gather: reads what a decision rests on, through ports. It decides nothing, and names what does not answer."""

from __future__ import annotations

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
    memory = sources.journal.memory(target.server)
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
        last_alive=next(reversed(memory.trees), ""),
        first_seen=_first_seen(supervisor, memory),
        still_firing=_still_firing(incident, active),
        watchdog=not missing,
        watchdog_problem=missing,
        healthy_others=_healthy_others(target, sources, blind),
        blind=tuple(blind),
    )


def observe(target: Target, sources: Sources, blind: list[str]) -> SupervisorView | None:
    """The supervisor's view of the target, or None, with the reason in `blind`, when it does not answer."""
    try:
        return sources.actuators[target.actuator].observe(target)
    except Blind as error:
        blind.append(f"supervisor: {error}")
        return None


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


def _healthy_others(target: Target, sources: Sources, blind: list[str]) -> int:
    others = frozenset(t.server for t in sources.config.targets if t.pool == target.pool and t.server != target.server)
    if not others:
        return 0
    try:
        return len(sources.prometheus.healthy(others, sources.config.limits.max_signal_age))
    except Blind as error:
        blind.append(f"Prometheus: {error}")
        return 0

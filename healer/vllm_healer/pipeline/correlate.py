"""Correlate: firing alerts become incidents, one a server, so that two alerts of one cause get one action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vllm_healer.elapsed import elapsed
from vllm_healer.model import Alert, Incident, IncidentState, Instant
from vllm_healer.names import plain_name
from vllm_healer.registry import hints

# Open incidents of servers that are not listed: more than a person reads, and few enough to cost nothing.
STRANGERS = 50


class Move(StrEnum):
    NEW = "new"  # open an incident with these alerts
    ATTACH = "attach"  # these alerts belong to an open incident
    IGNORE = "ignore"  # leave them unassigned for now; asked again at the next round


@dataclass(frozen=True)
class Correlation:
    """The decision about the alerts of one server."""

    move: Move
    server: str
    alerts: tuple[Alert, ...]
    words: str
    incident: int | None = None  # with ATTACH


def correlate(
    alerts: Iterable[Alert],
    open_incidents: Sequence[Incident],
    last_closed: Mapping[str, tuple[Incident, Instant]],
    now: Instant,
    reopen_after: float,
) -> tuple[Correlation, ...]:
    """The decisions, one a server, sorted by name. `alerts` belong to no incident yet; resolved ones open nothing.

    Neither do those that only a person can do something about and no detector looks for: such as that a process died,
    which is said for a quarter of an hour. An incident of these alone would have nothing to wait for. They join one.

    Alertmanager resolves late, so an alert of a server that was healed less than `reopen_after` seconds ago may be an
    echo. It is not attached to the closed incident either: if it still fires after that time, it is a new one.
    """
    groups: dict[str, list[Alert]] = {}
    for alert in alerts:
        if alert.firing:
            groups.setdefault(alert.server, []).append(alert)
    known = {incident.server: incident for incident in open_incidents}
    return tuple(
        _place(server, tuple(group), known.get(server), last_closed.get(server), now, reopen_after)
        for server, group in sorted(groups.items())
    )


def choose_admitted(
    alerts: Iterable[Alert], open_incidents: Sequence[Incident], listed: frozenset[str]
) -> tuple[Alert, ...]:
    """The alerts of listed servers, and of a few others: a storm of strangers holds up nobody who can be healed.

    What is left out stays unassigned, and has its turn when incidents of other strangers have ended.
    """
    waiting = tuple(alerts)
    strangers = {incident.server for incident in open_incidents} - listed
    admitted = listed | strangers
    new = dict.fromkeys(alert.server for alert in waiting if alert.server not in admitted and may_open(alert))
    admitted |= set(list(new)[: max(0, STRANGERS - len(strangers))])
    return tuple(alert for alert in waiting if alert.server in admitted)


def may_open(alert: Alert) -> bool:
    """True if an incident may begin with the alert, not only have it among others."""
    return alert.server != "" and (alert.healable or alert.name in hints())


def names(alerts: Iterable[Alert]) -> str:
    """The alerts' names for a sentence: 'VllmDown, VllmProcessOrphaned'."""
    return ", ".join(sorted({alert.name for alert in alerts}))


def _place(
    server: str,
    alerts: tuple[Alert, ...],
    known: Incident | None,
    closed: tuple[Incident, Instant] | None,
    now: Instant,
    reopen_after: float,
) -> Correlation:
    fired = names(alerts)
    if not server:
        return Correlation(Move.IGNORE, "", alerts, f"{fired}: no server label, so it names nothing to act on")
    if known is not None:
        return Correlation(
            Move.ATTACH, server, alerts, f"{fired} joined incident {known.id} of {plain_name(server)}", known.id
        )
    if not any(map(may_open, alerts)):
        return Correlation(Move.IGNORE, server, alerts, f"{fired} for {plain_name(server)} is for people alone")
    ago = _healed_ago(closed, now)
    if ago is not None and ago < reopen_after:
        again = f"looked at again in {reopen_after - ago:.0f} s if it still fires"
        return Correlation(
            Move.IGNORE, server, alerts, f"{fired} for {plain_name(server)}, healed {ago:.0f} s ago: {again}"
        )
    return Correlation(Move.NEW, server, alerts, f"{fired} fires for {plain_name(server)}")


def _healed_ago(closed: tuple[Incident, Instant] | None, now: Instant) -> float | None:
    if closed is None or closed[0].state is not IncidentState.HEALED:
        return None
    return elapsed(closed[1], now)

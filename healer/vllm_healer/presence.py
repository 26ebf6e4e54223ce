"""Tells whether a server serves anybody, by the healer's own look and its supervisor together."""

from __future__ import annotations

from vllm_healer.model import ENDED, Health, Look, SupervisorView

ABSENT = frozenset({Health.UNHEARD, Health.UNREACHABLE, Health.GATEWAY})


def serves_nobody(look: Look | None, supervisor: SupervisorView | None) -> bool:
    """True if it is down by both. A timeout is a busy server, and a hang still holds its clients.

    What others say in its place (a proxy, a port forwarder, the name service) counts only where the supervisor says
    that no process runs; a forwarder of the supervisor's own is believed while one runs, too.
    """
    if look is None:
        return False
    if look.health in (Health.REFUSED, Health.UNAVAILABLE):
        return True
    if supervisor is None or look.health not in ABSENT:
        return False
    return supervisor.state in ENDED or (supervisor.forwarded and look.health is Health.UNHEARD)

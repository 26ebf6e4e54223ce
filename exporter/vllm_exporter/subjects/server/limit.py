"""The limit: how long a server may stand still before it counts as stalled. Pure."""

from __future__ import annotations

from vllm_exporter.config.config import ProbeConfig

STEP_SHARE = 0.4  # of stall_seconds, where each step is seen: a canary of 8 s that is sent after a third fits into it
BLIND_FACTOR = 2.0  # times the limit, where no canary separates a hang from a slow step
BLIND_SECONDS = 120.0  # and never less: the slowest step that was measured of a server that is well took 6 s


def stall_limit(probe: ProbeConfig, longest_gap: float, warming_up: bool, exact: bool, blind: bool) -> float:
    """Returns seconds. `exact`: each step is seen; `blind`: no canary is answered, whatever the server does."""
    usual = _usual(probe, longest_gap, warming_up, exact)
    return max(BLIND_SECONDS, BLIND_FACTOR * usual) if blind else usual


def _usual(probe: ProbeConfig, longest_gap: float, warming_up: bool, exact: bool) -> float:
    """Returns seconds, at most the warm-up's: one hang that ended by itself must not hide the next for hours."""
    if warming_up:
        return max(probe.stall_seconds, probe.warmup_stall_seconds)
    least = probe.stall_seconds * (STEP_SHARE if exact else 1.0)
    return max(least, min(probe.warmup_stall_seconds, probe.stall_gap_factor * longest_gap))

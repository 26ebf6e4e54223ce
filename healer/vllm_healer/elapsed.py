"""Elapsed: tells how long ago something was, across clock steps and reboots."""

from __future__ import annotations

from vllm_healer.model import Instant


def elapsed(since: Instant, now: Instant) -> float:
    """The seconds from `since` to `now`, never negative. When they cannot be known, it is the smaller answer: one waits
    longer then.

    In one boot CLOCK_BOOTTIME alone counts: it goes on through suspend and no one can set it. After a reboot only the
    wall clock spans both, and it may have jumped; but what happened before the reboot cannot be claimed to be longer
    ago than the wall says, and nothing is trusted beyond the time this boot has lasted.
    """
    if since.boot_id == now.boot_id:
        return max(0.0, now.boot - since.boot)
    return max(0.0, min(now.wall - since.wall, now.boot))

"""Sleeping: the engine sleeps, or does not wake up, while clients wait for it."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class Sleeping(Trouble):
    """Names a server that sleeps with clients. One that sleeps and is left alone is `paused`, and well."""

    order = 26  # before `paused`, of which it is the case that hurts
    broken = "it sleeps, or does not wake up, and its clients wait"
    person = (
        "POST /wake_up, or take it out of the load until whoever put it to sleep wakes it; when it does not wake "
        "within the time of a start, restart it"
    )

"""Scheduler deadlock: requests wait while nothing runs and the engine lives."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class SchedulerDeadlock(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "requests wait and none runs"
    person = (
        "run `vllm-exporter hang-report`: by the reason they wait for a grammar, a KV transfer, or for more "
        "blocks than there are; abort the oldest, or restart it"
    )

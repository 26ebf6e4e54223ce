"""Data-parallel imbalance: one data-parallel engine has most of the load, or their coordinator fails."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class DataParallelImbalance(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "one of its engines has most of the queue, or the engines' coordinator fails"
    person = "balance by rank in front of it; after an hour of it restart it when it is quiet"

"""Node lost: a node of Ray, or a worker on it, is gone, and the server cannot go on without."""

from __future__ import annotations

from vllm_healer.detectors._reasons import DEATHS, HANGS, Reason


class NodeLost(Reason):
    """Explains a death or a hang; a restart helps once, and what a person does keeps it from coming again."""

    finds = (*DEATHS, *HANGS)
    destructive_may_help = True
    broken = "a Ray node, or a worker on it, is gone"
    person = "run `ray status` and bring the node back; a start waits for it without end"

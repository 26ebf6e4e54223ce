"""Worker dead: a worker process ended first and took its server with it."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Reason


class WorkerDead(Reason):
    """Explains a death; a restart helps once, and what a person does keeps it from coming again."""

    destructive_may_help = True
    broken = "a worker process died first and took the server with it"
    person = (
        "look for the exit code of the worker: 137 is the kernel's OOM killer, 139 or 134 a crash in native code, "
        "so keep its core file"
    )

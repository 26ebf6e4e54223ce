"""Host memory leak: memory of its host or container runs short over hours."""

from __future__ import annotations

from vllm_healer.detectors._reasons import Trouble


class HostMemoryLeak(Trouble):
    """Names a trouble of a server that serves, for a person."""

    broken = "memory of its container or host runs short"
    person = (
        "restart it when it is quiet, before the kernel does; then a smaller --mm-processor-cache-gb, or a newer "
        "release"
    )

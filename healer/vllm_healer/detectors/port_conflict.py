"""Port conflict: somebody else has its port."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class PortConflict(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "its port is taken"
    person = "find who listens (`ss -ltnp`), and end that one or give this server another port"

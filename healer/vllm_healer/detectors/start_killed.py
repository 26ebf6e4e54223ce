"""Start killed: a probe, or a supervisor that is impatient, ends each start before it is ready."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class StartKilled(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "it was killed before its start was over"
    person = "give its startup probe twice the time of a usual start, and keep the compile cache between starts"

"""Load failure: what it shall load is not there, cannot be had, or is damaged."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class LoadFailure(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "its model cannot be loaded"
    person = (
        "read the first error of its log: a token, a full disk, a right, or a file of 135 bytes that Git LFS "
        "left; then start it"
    )

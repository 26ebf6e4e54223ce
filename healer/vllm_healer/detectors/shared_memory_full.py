"""Shared memory full: /dev/shm is too small for what its processes pass to each other."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class SharedMemoryFull(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "/dev/shm is too small"
    person = "run its container with --shm-size=10g or --ipc=host, and remove segments of dead servers from /dev/shm"

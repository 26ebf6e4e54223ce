"""Driver failure: driver, CUDA and container do not fit together, or the driver is not there."""

from __future__ import annotations

from vllm_healer.detectors._reasons import FailedStart


class DriverFailure(FailedStart):
    """Explains a start that failed; the next one would meet the same."""

    broken = "driver, CUDA and container do not fit together"
    person = (
        "error 802: start nvidia-fabricmanager; 803 or 804: update the driver, or take the compat libraries out "
        "of LD_LIBRARY_PATH; NVML lost: make the container anew"
    )

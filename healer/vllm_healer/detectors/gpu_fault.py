"""GPU fault: the GPU or the host below a server is at fault (XID, ECC, fallen off the bus), so a restart cannot help.

Asked before the death or the hang that follows from it. XIDs of programs (13, 31, 43 …) are no such fault: there the
GPU is well and a restart helps.
"""

from __future__ import annotations

from vllm_healer.detectors._reasons import DEATHS, HANGS, Reason


class GpuFault(Reason):
    """Explains a death or a hang that comes again on the same GPU, so it is left to a person."""

    finds = (*DEATHS, *HANGS)
    destructive_may_help = False
    order = 12
    broken = "its GPU or host is at fault"
    person = (
        "take the GPU out of use: read its XIDs with `nvidia-smi -q` and `dmesg`, reset it once nothing runs on it, "
        "else restart the host; start the server on another one meanwhile"
    )

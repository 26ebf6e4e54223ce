"""Collective hang: ranks wait for each other in a collective call without end, or have lost each other."""

from __future__ import annotations

from vllm_healer.detectors._reasons import DEATHS, HANGS, Reason


class CollectiveHang(Reason):
    """Explains a death or a hang; a restart helps once, and what a person does keeps it from coming again."""

    finds = (*DEATHS, *HANGS)
    destructive_may_help = True
    broken = "its ranks lost each other in a collective call"
    person = (
        "look at links, PCIe ACS and NCCL_SOCKET_IFNAME; when it comes again, try --disable-custom-all-reduce, "
        "then the other host"
    )

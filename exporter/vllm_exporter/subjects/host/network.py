"""Reads network devices and TCP: /proc/net/dev by psutil, /proc/net/snmp, /proc/net/netstat."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil

from vllm_exporter.errors import NoData
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.subjects.host import families as names

# Devices of containers and virtual machines, with a new name each time: their series would have no end.
PASSING = ("veth", "cali", "lxc", "tap", "vnet", "cni-", "nodelocaldns", "ifb", "dummy")
DEVICES = 64  # at most; the first ones, in the kernel's order: physical ones come before those made later

COUNTERS: dict[str, Family] = {  # by psutil's names
    "bytes_recv": names.HOST_NETWORK_RECEIVE_BYTES_TOTAL,
    "packets_recv": names.HOST_NETWORK_RECEIVE_PACKETS_TOTAL,
    "errin": names.HOST_NETWORK_RECEIVE_ERRORS_TOTAL,
    "dropin": names.HOST_NETWORK_RECEIVE_DROPPED_TOTAL,
    "bytes_sent": names.HOST_NETWORK_TRANSMIT_BYTES_TOTAL,
    "packets_sent": names.HOST_NETWORK_TRANSMIT_PACKETS_TOTAL,
    "errout": names.HOST_NETWORK_TRANSMIT_ERRORS_TOTAL,
    "dropout": names.HOST_NETWORK_TRANSMIT_DROPPED_TOTAL,
}
TCP: dict[str, Family] = {
    "CurrEstab": names.HOST_TCP_CONNECTIONS,
    "OutSegs": names.HOST_TCP_SEGMENTS_SENT_TOTAL,
    "RetransSegs": names.HOST_TCP_SEGMENTS_RETRANSMITTED_TOTAL,
    "ListenDrops": names.HOST_TCP_LISTEN_DROPS_TOTAL,
}


def device_rows(proc: Path) -> Iterator[Row]:
    """Yields the devices' samples. Raises NoData without a table, ValueError for a bad one."""
    psutil.PROCFS_PATH = str(proc)
    try:
        found = psutil.net_io_counters(pernic=True, nowrap=False)
    except FileNotFoundError:
        raise NoData(f"{proc}/net/dev does not exist") from None
    except AssertionError as error:  # psutil's word for a line without a device
        raise ValueError(f"net/dev: {error}") from None
    lasting = [name for name in found if not name.startswith(PASSING)]
    for name in lasting[:DEVICES]:
        for counter, family in COUNTERS.items():
            yield (family, (name,)), getattr(found[name], counter)


def tcp_rows(data: bytes) -> Iterator[Row]:
    """Yields the families of TCP, from pairs of lines `Tcp: names…`, `Tcp: numbers…` in /proc/net/snmp and netstat.

    Raises LookupError when none of them is there.
    """
    found: dict[str, str] = {}
    lines = data.decode("ascii").splitlines()
    for heads, counts in pairwise(lines):
        kind, _, numbers = counts.partition(" ")
        if kind in ("Tcp:", "TcpExt:") and heads.startswith(f"{kind} "):
            found.update(zip(heads.split()[1:], numbers.split(), strict=False))
    if not found.keys() & TCP.keys():
        raise LookupError("Tcp")
    for name, family in TCP.items():
        if name in found:
            yield (family, ()), int(found[name])

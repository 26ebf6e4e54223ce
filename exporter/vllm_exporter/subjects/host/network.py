"""Network devices and TCP: /proc/net/dev, /proc/net/snmp, /proc/net/netstat. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from vllm_exporter.metrics.family import Family, Series
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.part import Names, Reading
from vllm_exporter.subjects.host.table import Table

# One a container or a virtual machine, under a new name each time: without end.
PASSING = ("veth", "cali", "lxc", "tap", "vnet", "cni-", "nodelocaldns", "ifb", "dummy")
DEVICES = 64  # at most; the first ones, in the kernel's order: physical ones come before what is made later

COLUMNS: tuple[tuple[Family, int], ...] = (
    (names.HOST_NETWORK_RECEIVE_BYTES_TOTAL, 0),
    (names.HOST_NETWORK_RECEIVE_PACKETS_TOTAL, 1),
    (names.HOST_NETWORK_RECEIVE_ERRORS_TOTAL, 2),
    (names.HOST_NETWORK_RECEIVE_DROPPED_TOTAL, 3),
    (names.HOST_NETWORK_TRANSMIT_BYTES_TOTAL, 8),
    (names.HOST_NETWORK_TRANSMIT_PACKETS_TOTAL, 9),
    (names.HOST_NETWORK_TRANSMIT_ERRORS_TOTAL, 10),
    (names.HOST_NETWORK_TRANSMIT_DROPPED_TOTAL, 11),
)
FAMILIES = tuple(family for family, _ in COLUMNS)
HEADING = b"|bytes    packets errs drop "


class Devices:
    """/proc/net/dev: two lines of headings, then `device: received (8 columns) sent (8 columns)`."""

    def __init__(self) -> None:
        self._table = Table(name_of_device)

    def parse(self, data: bytes) -> Reading:
        if HEADING not in data[:300]:
            raise ValueError(data)
        numbers: list[float] = []
        for row in self._table.rows(data)[:DEVICES]:
            received, sent = row[:4], row[8:12]
            if len(sent) != 4:
                raise ValueError(row)
            numbers += map(int, received)
            numbers += map(int, sent)
        return self._table.names[:DEVICES], numbers


def name_of_device(line: bytes) -> tuple[str, int] | None:
    """The last colon ends the name: an alias has one in it."""
    end = line.rfind(b":") + 1
    name = line[: max(0, end - 1)].strip().decode(errors="replace")
    return (name, end) if name and not name.startswith(PASSING) else None


def device_series(devices: Names) -> Sequence[Series]:
    return [(family, (device,)) for device in devices for family in FAMILIES]


TCP: dict[str, Family] = {
    "CurrEstab": names.HOST_TCP_CONNECTIONS,
    "OutSegs": names.HOST_TCP_SEGMENTS_SENT_TOTAL,
    "RetransSegs": names.HOST_TCP_SEGMENTS_RETRANSMITTED_TOTAL,
    "ListenDrops": names.HOST_TCP_LISTEN_DROPS_TOTAL,
}
KEYS = tuple((name, name.encode()) for name in TCP)


def parse_tcp(data: bytes) -> Reading:
    """Of /proc/net/snmp and of /proc/net/netstat, pairs of lines `Tcp: names…` and `Tcp: numbers…`, what TCP names.

    Raises LookupError when there is none of it.
    """
    found: dict[str, int] = {}
    lines = data.split(b"\n")
    for heads, counts in zip(lines[::2], lines[1::2], strict=False):
        if heads.startswith((b"Tcp: ", b"TcpExt: ")):
            words, numbers = heads.split(), counts.split()
            found |= {name: int(numbers[words.index(key)]) for name, key in KEYS if key in words}
    if not found:
        raise LookupError("Tcp")
    return tuple(found), list(found.values())


def tcp_series(found: Names) -> Sequence[Series]:
    return [(TCP[name], ()) for name in found]

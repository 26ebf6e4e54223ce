"""Reads ports of InfiniBand and RoCE devices, and links of network devices, from /sys/class.

https://www.kernel.org/doc/Documentation/ABI/stable/sysfs-class-infiniband
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.linux.files import list_names, read_bytes, read_link, read_word

LANE = 4  # port_rcv_data and port_xmit_data count words of 4 bytes, whatever the width of the link

DATA = ("port_rcv_data", "port_xmit_data")
ERRORS = (
    "symbol_error",
    "link_error_recovery",
    "link_downed",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
    "port_rcv_errors",
    "port_rcv_remote_physical_errors",
    "port_xmit_discards",
)
HARDWARE_ERRORS = ("out_of_sequence", "packet_seq_err", "local_ack_timeout_err", "rnr_nak_retry_err")  # hw_counters
WAIT = "port_xmit_wait"
WRAPPED = 1 << 63  # a count from here on is a negative number without its sign
UNKNOWN_SPEEDS = ("0", "65535", "4294967295")  # -1 in 16 or 32 bits is what old kernels write for unknown


@dataclass(frozen=True)
class Port:
    """The state of one port. `rate` is in bytes per second; None: not reported."""

    device: str
    port: str
    active: bool
    rate: float | None


@dataclass(frozen=True)
class Link:
    """A network device with hardware. `speed` is in bytes per second; None: down, or not reported."""

    device: str
    up: bool
    speed: float | None


def read_counters(sys: Path, device: str, port: str) -> dict[str, int]:
    """Returns file name to count of one port, without counters that the device lacks. Raises SourceError."""
    folder = sys / "class/infiniband" / device / "ports" / port
    wanted = [("counters", name) for name in (*DATA, WAIT, *ERRORS)]
    wanted += [("hw_counters", name) for name in HARDWARE_ERRORS]
    texts = {name: read_bytes(folder / kind / name) for kind, name in wanted}
    counts = {name: int(text) for name, text in texts.items() if text is not None and text.strip().isdigit()}
    return {name: count for name, count in counts.items() if count < WRAPPED}


def read_ports(sys: Path) -> Iterator[Port]:
    root = sys / "class/infiniband"
    for device in list_names(root):
        for port in list_names(root / device / "ports"):
            folder = root / device / "ports" / port
            yield Port(device, port, is_active(read_word(folder / "state")), parse_rate(read_word(folder / "rate")))


def read_links(sys: Path) -> Iterator[Link]:
    root = sys / "class/net"
    for device in list_names(root):
        if read_link(root / device / "device"):
            up = read_word(root / device / "operstate") == "up"
            yield Link(device, up, parse_speed(read_word(root / device / "speed")))


def is_active(state: str) -> bool:
    """True for '4: ACTIVE'."""
    return state.partition(":")[0].strip() == "4"


def parse_rate(text: str) -> float | None:
    """Returns bytes per second from '400 Gb/sec (4X NDR)'; None for any other text."""
    number, _, unit = text.partition(" ")
    try:
        return float(number) * 1e9 / 8 if unit.startswith("Gb/sec") else None
    except ValueError:
        return None


def parse_speed(text: str) -> float | None:
    """Returns bytes per second from a number of Mb/s; None for 0, and for -1, which means unknown."""
    return int(text) * 1e6 / 8 if text.isdigit() and text not in UNKNOWN_SPEEDS else None

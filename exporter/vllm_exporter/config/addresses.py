"""Parses addresses: of servers to watch (VLLM_TARGETS) and of the exporter itself. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vllm_exporter.errors import ConfigError

_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s,]+")


@dataclass(frozen=True)
class Endpoint:
    """The place of a server. `address` is host:port as the user wrote it, without the scheme."""

    address: str
    scheme: str = "http"


def parse_targets(text: str) -> tuple[Endpoint, ...]:
    """Parses VLLM_TARGETS, whose items are separated by commas or whitespace. Raises ConfigError naming the item."""
    return tuple(parse_target(item) for item in _SEPARATORS.split(text) if item)


def parse_target(item: str) -> Endpoint:
    """Parses host:port, http://host:port or https://host:port. Raises ConfigError naming the item and the fix."""
    if "@" in item:  # an address is repeated in messages and labels, so it is not shown here either
        raise ConfigError(
            "a target holds a user or a password; write host:port, and name a file with the key in api_key_file"
        )
    scheme = _SCHEME.match(item)
    address = item[scheme.end() :].removesuffix("/") if scheme else item
    split_address(address, f"target {item!r}")
    return Endpoint(address, scheme.group(1).lower() if scheme else "http")


def parse_listen(text: str) -> tuple[tuple[str, int], ...]:
    """Returns the (host, port) pairs to listen on; commas separate them in the text. Raises ConfigError."""
    items = [item.strip() for item in text.split(",")]
    return tuple(split_address(item, f"listen address {item!r}", "127.0.0.1:9855") for item in items)


def split_address(address: str, what: str, example: str = "localhost:8000") -> tuple[str, int]:
    """Returns (host, port) of host:port or [IPv6]:port, the host without brackets. `what` begins a ConfigError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        raise ConfigError(f"{what} has no port; write host:port, such as {example}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ConfigError(f"{what} has port {port[:20]!r}; a port is a number from 1 to 65535")
    if re.search(r"[\s/@?#]", host):
        raise ConfigError(f"{what} is not a host and a port; write host:port, without spaces, path or user")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ConfigError(f"{what} has more than one colon; write an IPv6 address as [::1]:8000")
    return host.removeprefix("[").removesuffix("]"), int(port)


def server_name(address: str, hostname: str) -> str:
    """Returns the value of the label `server`: the address, with a loopback host replaced by this host's name."""
    host, _, port = address.rpartition(":")
    return f"{hostname}:{port}" if _is_loopback(host) else address


def _is_loopback(host: str) -> bool:
    return host.lower() in ("localhost", "::1", "[::1]") or host.startswith("127.")

"""The targets: which vLLM servers are watched, and what they are called."""

from __future__ import annotations

import json
from dataclasses import dataclass

from deploy.errors import SettingsError

_EXAMPLE = "write host:port or http://host:port, separated by commas or spaces, such as localhost:8000,10.0.0.5:8000"


@dataclass(frozen=True)
class Target:
    """One vLLM server."""

    address: str  # host:port, as the user wrote it
    server: str  # its identity in labels
    scheme: str = "http"


def server_name(address: str, hostname: str) -> str:
    """Returns the address, with a loopback host replaced by this host's name: every machine has another localhost."""
    host, _, port = address.rpartition(":")
    return f"{hostname}:{port}" if is_loopback(host) else address


def is_loopback(host: str) -> bool:
    """Judges by the name alone; asks no resolver."""
    return host.lower() in ("localhost", "::1", "[::1]") or host.startswith("127.")


def parse_targets(text: str, hostname: str, where: str) -> tuple[Target, ...]:
    """Reads a list of servers such as VLLM_TARGETS. Raises SettingsError that names the item."""
    targets: dict[str, Target] = {}
    for item in text.replace(",", " ").split():
        target = _parse_target(item, hostname, where)
        if target.server in targets:
            raise SettingsError(
                f"{where}: {item!r} and {targets[target.server].address!r} are the same server: remove one"
            )
        targets[target.server] = target
    return tuple(targets.values())


def file_sd(targets: tuple[Target, ...]) -> str:
    """Returns Prometheus' list of vLLM servers as JSON; Prometheus reads the file again when it changes."""
    return json.dumps([{"targets": [target.address], "labels": _labels(target)} for target in targets], indent=2) + "\n"


def _labels(target: Target) -> dict[str, str]:
    scheme = {} if target.scheme == "http" else {"__scheme__": target.scheme}
    return {"server": target.server, **scheme}


def _parse_target(item: str, hostname: str, where: str) -> Target:
    scheme, separator, address = item.rpartition("://")
    if separator and scheme not in ("http", "https"):
        raise SettingsError(f"{where}: {item!r} begins with {scheme}://: {_EXAMPLE}")
    host, _, port = address.rstrip("/").rpartition(":")
    if not host or (":" in host and not host.startswith("[")):
        raise SettingsError(f"{where}: {item!r} has no host or no port: {_EXAMPLE}")
    if "/" in address.rstrip("/"):
        raise SettingsError(f"{where}: {item!r} has a path: {_EXAMPLE}")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise SettingsError(f"{where}: {item!r} has the port {port!r}, not a number from 1 to 65535: {_EXAMPLE}")
    return Target(f"{host}:{port}", server_name(f"{host}:{port}", hostname), scheme or "http")

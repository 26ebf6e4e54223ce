"""Finds the targets on this host: only their processes can be seen."""

from __future__ import annotations

from collections.abc import Iterable

from vllm_exporter.config.addresses import split_address
from vllm_exporter.config.config import TargetConfig
from vllm_exporter.linux.listening import is_this_host


def local_ports(targets: Iterable[TargetConfig], hostname: str) -> dict[str, int]:
    """Returns server to port. A target with a loopback address was renamed, so its name is not its address."""
    ports: dict[str, int] = {}
    for target in targets:
        host, port = split_address(target.address, f"target {target.address!r}")
        if target.server != target.address or is_this_host(host, hostname):
            ports[target.server] = port
    return ports


def local_servers(targets: Iterable[TargetConfig], hostname: str) -> dict[int, str]:
    """Returns port to server; the first of those that share a port."""
    return {port: server for server, port in reversed(local_ports(targets, hostname).items())}

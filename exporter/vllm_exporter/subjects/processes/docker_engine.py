"""Asks a container engine that speaks Docker's HTTP interface (Docker, Podman): GET requests only.

The interface is the Docker Engine API: /containers/json and /containers/<id>/json, the same since version 1.24.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from vllm_exporter.errors import SourceError
from vllm_exporter.net.unix import call

TIMEOUT = 2.0  # seconds; an engine on this host answers in 5 ms, one that starts 100 containers in 1 s


@dataclass(frozen=True)
class Container:
    """A running container."""

    name: str
    published: Mapping[int, frozenset[int]]  # TCP port inside to ports of the host


Containers = Mapping[str, Container]  # by full id


def list_containers(socket_path: str) -> dict[str, Container]:
    """Returns the running containers by id. Raises SourceError."""
    return parse_containers(_get(socket_path, "/containers/json"))


def ask_exit(socket_path: str, container: str) -> int | None:
    """Returns the wait status of the main process of an ended container; None while it runs, or runs again."""
    return parse_state(_get(socket_path, f"/containers/{container}/json"))


def parse_containers(body: bytes) -> dict[str, Container]:
    """Parses the list of containers. Raises SourceError for anything else."""
    try:
        found = json.loads(body)
        return {str(item["Id"]): _container(item) for item in found}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise SourceError(f"the container engine's answer is no list of containers: {error!r}") from None


def parse_state(body: bytes) -> int | None:
    """Parses the state of a container, for `ask_exit`. Raises SourceError."""
    try:
        state = json.loads(body)["State"]
        if state["Running"] and not state.get("Restarting", False):
            return None
        return int(state["ExitCode"]) << 8
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(f"the container engine's answer is no state of a container: {error!r}") from None


def _container(item: Mapping[str, object]) -> Container:
    names, ports = item["Names"], item.get("Ports") or []
    if not isinstance(names, list) or not isinstance(ports, list):
        raise TypeError("Names and Ports are lists")
    published: dict[int, set[int]] = {}
    for port in ports:
        if port.get("Type") == "tcp" and port.get("PublicPort"):
            published.setdefault(int(port["PrivatePort"]), set()).add(int(port["PublicPort"]))
    frozen = {inside: frozenset(outside) for inside, outside in published.items()}
    return Container(str(names[0]).lstrip("/") if names else "", frozen)


def _get(socket_path: str, path: str) -> bytes:
    answer = call(socket_path, "GET", path, TIMEOUT)
    if answer.status != 200:
        raise SourceError(f"{socket_path}: GET {path} was answered with status {answer.status}")
    return answer.body

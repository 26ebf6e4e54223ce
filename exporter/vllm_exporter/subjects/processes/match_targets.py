"""Finds the target that a vLLM on this host is, by the port on which it listens, in a container too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vllm_exporter.clock import Clock
from vllm_exporter.config.addresses import split_address
from vllm_exporter.config.config import TargetConfig
from vllm_exporter.config.local_servers import local_servers
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.listening import read_addresses, read_ports, same_network
from vllm_exporter.subjects.processes.docker_engine import Container
from vllm_exporter.subjects.processes.lineage import Living, Process
from vllm_exporter.subjects.processes.titles import Forward

# Seconds between two tries to match a server that is no target: the first while it is loading, then ever rarer, since
# a table of 28,000 sockets costs 50 ms to read.
FIRST_RETRY, LAST_RETRY = 4.0, 300.0


@dataclass(frozen=True)
class KnownTargets:
    """The configured targets, by the addresses at which they may be found."""

    local: Mapping[int, str]  # port of this host to server
    others: Mapping[tuple[str, int], str]  # host, as configured, and port to server: a container's address or name
    names: frozenset[str]  # of servers that are, or may be, on this host


@dataclass(frozen=True)
class Network:
    """The ways to a container's ports; empty for a process in this host's network."""

    own: bool = True  # its ports are this host's
    addresses: frozenset[str] = frozenset()
    forwards: tuple[Forward, ...] = ()
    container: Container | None = None  # as the engine has it


@dataclass
class _Try:
    due: float
    pause: float = FIRST_RETRY
    guess: str = ""


@dataclass
class TargetMatcher:
    """Finds the configured server of each API server.

    A match by listening port is final; a guess from the command line is retried.
    """

    proc: Path
    targets: KnownTargets
    clock: Clock
    _joined: dict[Ref, str] = field(default_factory=dict)
    _tries: dict[Ref, _Try] = field(default_factory=dict)

    def hurry(self) -> None:
        """Makes the next `join` try all that have no target: the list of containers has changed."""
        for one in self._tries.values():
            one.due = 0.0

    def join(self, living: Living, containers: Mapping[Ref, Container | None]) -> dict[Ref, str]:
        """Returns API servers with their targets."""
        servers = [process for process in living.values() if process.title.role == "api_server"]
        refs = {process.ref for process in servers}
        self._joined = {ref: server for ref, server in self._joined.items() if ref in refs}
        self._tries = {ref: one for ref, one in self._tries.items() if ref in refs}
        forwards = tuple(process.title.forward for process in living.values() if process.title.forward)
        for process in servers:
            if process.ref not in self._joined:
                self._try(process, forwards, containers.get(process.ref))
        guessed = {ref: one.guess for ref, one in self._tries.items() if one.guess}
        return {**guessed, **self._joined}

    def _try(self, process: Process, forwards: tuple[Forward, ...], container: Container | None) -> None:
        now = self.clock.monotonic()
        mine = self._tries.setdefault(process.ref, _Try(now))
        if mine.due > now:
            return
        mine.due, mine.pause = now + mine.pause, min(mine.pause * 2, LAST_RETRY)
        pid = process.ref.pid
        own = same_network(self.proc, pid)
        network = Network() if own else Network(False, read_addresses(self.proc, pid), forwards, container)
        server = choose_server(read_ports(self.proc, pid) or (), network, self.targets)
        if server:
            self._joined[process.ref] = server
            del self._tries[process.ref]
        else:
            port = process.title.port
            mine.guess = choose_server(() if port is None else (port,), network, self.targets)


def choose_server(ports: Iterable[int], network: Network, targets: KnownTargets) -> str:
    """Returns the target of the first of the ports that leads to one; '' when none does."""
    return next((server for port in sorted(ports) if (server := _server(port, network, targets))), "")


def choose_targets(targets: Sequence[TargetConfig], hostname: str) -> KnownTargets:
    others = {split_address(one.address, f"target {one.address!r}"): one.server for one in reversed(targets)}
    return KnownTargets(local_servers(targets, hostname), others, frozenset(one.server for one in targets))


def _server(port: int, network: Network, targets: KnownTargets) -> str:
    if network.own:
        return targets.local.get(port, "")
    outside = {
        forward.host_port
        for forward in network.forwards
        if forward.port == port and forward.address in network.addresses
    }
    hosts = list(network.addresses)
    if network.container is not None:
        outside |= network.container.published.get(port, frozenset())
        hosts.append(network.container.name)
    published = (targets.local[one] for one in sorted(outside) if one in targets.local)
    direct = (targets.others[host, port] for host in sorted(hosts) if (host, port) in targets.others)
    return next(published, "") or next(direct, "")

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
from vllm_exporter.linux.listening import read_addresses, read_owners, read_ports, read_user, same_network
from vllm_exporter.subjects.processes.docker_engine import Container
from vllm_exporter.subjects.processes.lineage import ROOT, Living, Process, find_hosts
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


@dataclass(frozen=True)
class TargetMatch:
    """A server that an API server's process may be."""

    server: str
    user: int | None  # of the process; None: not known
    listens: bool = False  # the process was seen to listen on its port, or its user listens there


@dataclass
class _Try:
    due: float
    pause: float = FIRST_RETRY
    guess: TargetMatch | None = None


@dataclass
class TargetMatcher:
    """Finds the configured server of each API server.

    A match by listening port is final; a guess from the command line is retried. Anybody may start a process with any
    command line, so a guess counts only while no process is known to listen for that server, and for its user only.
    """

    proc: Path
    targets: KnownTargets
    clock: Clock
    users: dict[str, int] = field(default_factory=dict)  # by server: the user whose process listened on its port last
    _joined: dict[Ref, TargetMatch] = field(default_factory=dict)
    _tries: dict[Ref, _Try] = field(default_factory=dict)

    def hurry(self) -> None:
        """Makes the next `join` try all that have no target: the list of containers has changed."""
        for one in self._tries.values():
            one.due = 0.0

    def candidates(self, living: Living) -> set[Ref]:
        """Returns the processes that may be servers: by command line, by an engine below them, or found before."""
        by_title = {process.ref for process in living.values() if process.title.role == "api_server"}
        known = {process.ref for process in living.values() if process.ref in self._joined}
        return by_title | known | find_hosts(living)

    def join(self, living: Living, containers: Mapping[Ref, Container | None]) -> dict[Ref, str]:
        """Returns API servers with their targets."""
        refs = self.candidates(living)
        servers = [process for process in living.values() if process.ref in refs]
        self._joined = {ref: match for ref, match in self._joined.items() if ref in refs}
        self._tries = {ref: one for ref, one in self._tries.items() if ref in refs}
        forwards = [process for process in living.values() if process.title.forward]
        for process in servers:
            if process.ref not in self._joined:
                self._try(process, forwards, containers.get(process.ref))
        guessed = {ref: one.guess for ref, one in self._tries.items() if one.guess}
        chosen, self.users = choose_matches({**guessed, **self._joined}, self.users)
        return chosen

    def _try(self, process: Process, proxies: Iterable[Process], container: Container | None) -> None:
        now = self.clock.monotonic()
        mine = self._tries.setdefault(process.ref, _Try(now))
        if mine.due > now:
            return
        mine.due, mine.pause = now + mine.pause, min(mine.pause * 2, LAST_RETRY)
        pid = process.ref.pid
        ports, user = read_ports(self.proc, pid), read_user(self.proc, pid)
        network = Network()
        if not same_network(self.proc, pid):
            network = Network(False, read_addresses(self.proc, pid), self._believed(proxies, user), container)
        server = choose_server(ports or (), network, self.targets)
        if server:
            self._joined[process.ref] = TargetMatch(server, user, listens=True)
            del self._tries[process.ref]
        else:
            mine.guess = self._guess(process, ports is not None, user, network)

    def _believed(self, proxies: Iterable[Process], user: int | None) -> tuple[Forward, ...]:
        """Returns the forwards of root's proxies, which are Docker's, and of the server's own user."""
        known = (one.title.forward for one in proxies if read_user(self.proc, one.ref.pid) in (ROOT, user))
        return tuple(forward for forward in known if forward is not None)

    def _guess(self, process: Process, seen: bool, user: int | None, network: Network) -> TargetMatch | None:
        """Returns the match by the port of the command line. `seen`: the ports on which it listens are known."""
        port = process.title.port
        server = "" if port is None else choose_server((port,), network, self.targets)
        if not server or port is None:
            return None
        owners = read_owners(self.proc, process.ref.pid).get(port, frozenset())
        if owners and user not in owners and user != ROOT:
            return None
        return TargetMatch(server, user, listens=bool(owners) and not seen)  # without owners it loads


def choose_matches(
    matches: Mapping[Ref, TargetMatch], users: Mapping[str, int]
) -> tuple[dict[Ref, str], dict[str, int]]:
    """Returns the server of each process that may be it, and the users by server.

    Processes that listen count before those that do not, and of either those of the server's user, if there are any.
    Where that user is not known yet, and processes of several claim to be the server, none of them is believed.
    """
    chosen: dict[Ref, str] = {}
    known = dict(users)
    for server in {match.server for match in matches.values()}:
        claims = {ref: match for ref, match in matches.items() if match.server == server}
        listening = {ref: match for ref, match in claims.items() if match.listens}
        found = {match.user for match in (listening or claims).values()}
        before = known.get(server)
        if before in found:
            found = {before}
        elif before is not None and not listening:
            continue
        if len(found) == 1:
            user = found.pop()
            chosen |= {ref: server for ref, match in (listening or claims).items() if match.user == user}
            if listening and user is not None:
                known[server] = user
    return chosen, known


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

"""Remembers vLLM's processes over a restart of the exporter: who started whom, and servers ever seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vllm_exporter.facts.values import ROLES, Ref, Role
from vllm_exporter.state import Content, StateFile, count
from vllm_exporter.subjects.processes.lineage import Record, Records, choose_mains


@dataclass(frozen=True)
class KnownProcesses:
    """Everything that is kept. Process ids are valid in one boot and PID namespace only; servers outlive these."""

    records: Records = field(default_factory=dict)
    servers: Mapping[str, tuple[Role, ...]] = field(
        default_factory=dict
    )  # ever seen, with the roles of their processes
    mains: Mapping[str, Ref] = field(default_factory=dict)  # by server: the API server by which restarts are counted
    users: Mapping[str, int] = field(default_factory=dict)  # by server: whose process listened on its port last


class ProcessMemory:
    """Knows what this exporter saw and, except for restarts, what earlier ones saw."""

    def __init__(self, state_dir: str, scope: str, configured: frozenset[str]) -> None:
        """`scope` is where process ids are valid, see `read_scope`; `configured` are the servers to remember."""
        self._file = StateFile(state_dir, "processes", "the parentage of processes")
        self._scope = scope
        self._configured = configured
        self._known = self._file.load(lambda content: parse_known(content, scope)) or KnownProcesses()
        self.restarts: dict[str, int] = {}  # by server, since the exporter started

    @property
    def records(self) -> Records:
        return self._known.records

    @property
    def mains(self) -> Mapping[str, Ref]:
        return self._known.mains

    @property
    def servers(self) -> Mapping[str, tuple[Role, ...]]:
        """Returns every local server ever seen, with the roles its processes ever had."""
        return self._known.servers

    @property
    def users(self) -> Mapping[str, int]:
        """Returns the user of each local server, as far as it is known."""
        return self._known.users

    def renew(self, records: Records, users: Mapping[str, int] | None = None) -> None:
        """Takes the present records and users, counts restarts, and saves."""
        mains = choose_mains(records, self._known.mains)
        for server, main in mains.items():
            if self._known.mains.get(server, main) != main:
                self.restarts[server] = self.restarts.get(server, 0) + 1
        servers = remember_servers(self._known.servers, records.values(), self._configured)
        kept = {server: user for server, user in (users or {}).items() if server in self._configured}
        self._known = KnownProcesses(records, servers, mains, kept)
        self._file.save(format_known(self._known, self._scope))


def remember_servers(
    servers: Mapping[str, tuple[Role, ...]], records: Iterable[Record], configured: frozenset[str]
) -> dict[str, tuple[Role, ...]]:
    """Returns every local server ever seen that is still configured, with the roles its processes ever had."""
    roles: dict[str, set[Role]] = {name: set(known) for name, known in servers.items() if name in configured}
    for record in records:
        if record.server in configured:
            roles.setdefault(record.server, set()).add(record.role)
    return {name: tuple(sorted(found)) for name, found in sorted(roles.items())}


def parse_known(content: Content, scope: str) -> KnownProcesses:
    """Reads the content, without processes of another boot or PID namespace. Raises ValueError and LookupError."""
    servers = {str(name): tuple(_role(role) for role in roles) for name, roles in content["servers"].items()}
    users = {str(name): count(user) for name, user in content.get("users", {}).items()}
    if content["scope"] != scope:
        return KnownProcesses(servers=servers, users=users)
    records = [_record(item) for item in content["processes"]]
    mains = {str(name): Ref.from_plain(ref) for name, ref in content.get("mains", {}).items()}
    return KnownProcesses({record.ref: record for record in records}, servers, mains, users)


def format_known(known: KnownProcesses, scope: str) -> Content:
    processes = [
        {
            "pid": record.ref.pid,
            "start": record.ref.start,
            "role": record.role,
            "rank": record.rank,
            "server": record.server,
            "parent": None if record.parent is None else record.parent.to_plain(),
        }
        for record in known.records.values()
    ]
    mains = {server: ref.to_plain() for server, ref in known.mains.items()}
    users = dict(known.users)
    return {"scope": scope, "servers": dict(known.servers), "mains": mains, "users": users, "processes": processes}


def _record(item: Content) -> Record:
    parent = item["parent"]
    return Record(
        ref=Ref.from_plain([item["pid"], item["start"]]),
        role=_role(item["role"]),
        rank=str(item["rank"]),
        server=str(item["server"]),
        parent=None if parent is None else Ref.from_plain(parent),
    )


def _role(value: object) -> Role:
    for role in ROLES:
        if role == value:
            return role
    raise ValueError(f"unknown role {value!r}")

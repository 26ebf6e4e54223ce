"""What is remembered of vLLM's processes, in the state directory too: who started whom, and servers ever seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vllm_exporter.facts.values import Role
from vllm_exporter.log import log
from vllm_exporter.subjects.processes.lineage import Record, Records, choose_mains
from vllm_exporter.subjects.processes.lineage_file import Memory, read_memory, write_memory


class ProcessMemory:
    """Of this exporter and, but for the restarts, of those before it."""

    def __init__(self, state_dir: str, scope: str, configured: frozenset[str]) -> None:
        """`scope`: of which processes, see `read_memory`; `configured`: the servers that may be remembered.

        Without a state directory nothing outlives the exporter.
        """
        self._file = Path(state_dir) / "processes.json" if state_dir else None
        self._scope = scope
        self._configured = configured
        self._memory = self._read()
        self._write_failed = False
        self.restarts: dict[str, int] = {}  # by server, since the exporter started

    @property
    def records(self) -> Records:
        return self._memory.records

    @property
    def servers(self) -> Mapping[str, tuple[Role, ...]]:
        """Every local server ever seen, with the roles its processes ever had."""
        return self._memory.servers

    def renew(self, records: Records) -> None:
        """Those of now."""
        mains = choose_mains(records, self._memory.mains)
        for server, main in mains.items():
            if self._memory.mains.get(server, main) != main:
                self.restarts[server] = self.restarts.get(server, 0) + 1
        servers = remember_servers(self._memory.servers, records.values(), self._configured)
        self._keep(Memory(records, servers, mains))

    def _read(self) -> Memory:
        if self._file is None:
            return Memory()
        try:
            return read_memory(self._file, self._scope)
        except (OSError, ValueError) as error:
            log("warning", "the parentage of processes was forgotten", file=self._file, reason=error)
            return Memory()

    def _keep(self, memory: Memory) -> None:
        """A directory that cannot be written costs the memory at the next start, nothing else: said once."""
        changed, self._memory = memory != self._memory, memory
        if self._file is None or not changed:
            return
        try:
            write_memory(self._file, memory, self._scope)
            self._write_failed = False
        except OSError as error:
            if not self._write_failed:
                log("warning", "the parentage of processes cannot be kept", file=self._file, reason=error)
            self._write_failed = True


def remember_servers(
    servers: Mapping[str, tuple[Role, ...]], records: Iterable[Record], configured: frozenset[str]
) -> dict[str, tuple[Role, ...]]:
    """Every local server ever seen that is still configured, with the roles its processes ever had."""
    roles: dict[str, set[Role]] = {name: set(known) for name, known in servers.items() if name in configured}
    for record in records:
        if record.server in configured:
            roles.setdefault(record.server, set()).add(record.role)
    return {name: tuple(sorted(found)) for name, found in sorted(roles.items())}

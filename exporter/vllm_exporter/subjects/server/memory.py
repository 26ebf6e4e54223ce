"""Remembers servers over a restart of the exporter, so that it takes no server for a new one.

Times are the monotonic clock's, which goes on over a restart of the exporter and cannot be set: the file counts only
until the next boot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vllm_exporter.facts.values import Ref
from vllm_exporter.log import log
from vllm_exporter.state import Content, StateFile, read_scope, seconds
from vllm_exporter.subjects.server.incarnation import Identity, Memory


class ProbeMemory:
    """Keeps `probe.json` in the state directory."""

    def __init__(self, state_dir: str, proc: Path) -> None:
        self._file = StateFile(state_dir, "probe", "what was learned about servers")
        self._proc = proc
        self._scope = ""  # '' before `recall`, and without a boot id: these times could then be of any boot

    def recall(self, now: float) -> dict[str, Memory]:
        """Returns the memories by server; `now` is the monotonic clock's."""
        try:
            self._scope = read_scope(self._proc)
        except OSError as error:
            log("warning", "what is learned about servers cannot be saved", reason=error)
            return {}
        return self._file.load(lambda content: parse_memories(content, self._scope, now)) or {}

    def due(self, now: float) -> bool:
        """True when it is time to save again."""
        return bool(self._scope) and self._file.due(now)

    def keep(self, memories: Mapping[str, Memory]) -> None:
        if self._scope:
            self._file.save(format_memories(memories, self._scope))


def parse_memories(content: Content, scope: str, now: float) -> dict[str, Memory]:
    """Returns the memories by server; none from before the last boot, no process ids of another PID namespace.

    Raises ValueError and LookupError.
    """
    written = str(content["scope"])
    if written.partition(" ")[0] != scope.partition(" ")[0]:
        return {}
    return {str(server): _memory(kept, now, written == scope) for server, kept in content["servers"].items()}


def format_memories(memories: Mapping[str, Memory], scope: str) -> Content:
    return {"scope": scope, "servers": {server: _plain(memory) for server, memory in memories.items()}}


def _plain(memory: Memory) -> Content:
    ref = memory.identity.ref
    return {
        "started": memory.identity.started,
        "process": None if ref is None else ref.to_plain(),
        "ready_at": memory.ready_at,
        "longest_gap": memory.longest_gap,
        "gap_ended": memory.gap_ended,
    }


def _memory(kept: object, now: float, same_namespace: bool) -> Memory:
    if not isinstance(kept, dict):
        raise ValueError(f"{kept!r} is no server")
    started, process, ready_at = kept.get("started"), kept.get("process"), seconds(kept.get("ready_at"))
    if ready_at > now:
        raise ValueError(f"it became ready {ready_at - now:.0f} s from now")
    ref = None if process is None else Ref.from_plain(process)
    identity = Identity(None if started is None else seconds(started), ref if same_namespace else None)
    ended = kept.get("gap_ended")
    return Memory(identity, ready_at, seconds(kept.get("longest_gap")), None if ended is None else seconds(ended))

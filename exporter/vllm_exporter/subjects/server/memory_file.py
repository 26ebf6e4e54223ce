"""Keeps what was learned of servers in a file, so that a restart of the exporter does not make them new ones.

Times are the monotonic clock's, which goes on over a restart of the exporter and cannot be set; the file counts until
the next boot only.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path

from vllm_exporter.facts.values import Ref
from vllm_exporter.state import replace_file
from vllm_exporter.subjects.server.incarnation import Identity, Memory

VERSION = 1


def read_memories(path: Path, scope: str, now: float) -> dict[str, Memory]:
    """By server; empty when there is no file, or one from before the last boot. `scope` is of `read_scope`: process ids
    of another PID namespace mean nothing here.

    Raises OSError, and ValueError when there is a file that makes no sense.
    """
    import json  # only who has a state directory pays for it

    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(data, dict) or data.get("version") != VERSION or not isinstance(data.get("servers"), dict):
        raise ValueError(f"not a file of version {VERSION}")
    written = str(data.get("scope"))
    if written.partition(" ")[0] != scope.partition(" ")[0]:
        return {}
    return {str(server): _memory(kept, now, written == scope) for server, kept in data["servers"].items()}


def write_memories(path: Path, scope: str, memories: Mapping[str, Memory]) -> None:
    """Replaces the file as a whole. Raises OSError."""
    import json

    servers = {server: _plain(memory) for server, memory in memories.items()}
    replace_file(path, json.dumps({"version": VERSION, "scope": scope, "servers": servers}).encode() + b"\n")


def _plain(memory: Memory) -> dict[str, object]:
    ref = memory.identity.ref
    return {
        "started": memory.identity.started,
        "process": None if ref is None else [ref.pid, ref.start],
        "ready_at": memory.ready_at,
        "longest_gap": memory.longest_gap,
    }


def _memory(kept: object, now: float, same_namespace: bool) -> Memory:
    if not isinstance(kept, dict):
        raise ValueError(f"{kept!r} is no server")
    started, ready_at = kept.get("started"), _seconds(kept.get("ready_at"))
    if ready_at > now:
        raise ValueError(f"it became ready {ready_at - now:.0f} s from now")
    ref = _ref(kept.get("process")) if same_namespace else None
    identity = Identity(None if started is None else _seconds(started), ref)
    return Memory(identity, ready_at, _seconds(kept.get("longest_gap")))


def _ref(value: object) -> Ref | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(type(one) is int for one in value):
        raise ValueError(f"{value!r} is not a process id and a start time")
    return Ref(*value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no time")
    return float(value)

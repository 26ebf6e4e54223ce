"""What the probe remembers of servers over a restart of the exporter: read at the start, written when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path

from vllm_exporter.log import log
from vllm_exporter.state import read_scope
from vllm_exporter.subjects.server.incarnation import Memory
from vllm_exporter.subjects.server.memory_file import read_memories, write_memories

WRITE_SECONDS = 10.0  # between two looks for something new: a server has some when it becomes ready, and seldom after


class ProbeMemory:
    """`probe.json` in the state directory; without such a directory nothing is kept."""

    def __init__(self, state_dir: str, proc: Path) -> None:
        self._file = Path(state_dir) / "probe.json" if state_dir else None
        self._proc = proc
        self._scope = ""
        self._kept: dict[str, Memory] = {}
        self._looked_at = -inf
        self._failed = False

    def recall(self, now: float) -> dict[str, Memory]:
        """By server. `now` is the monotonic clock's."""
        if self._file is None:
            return {}
        try:
            self._scope = read_scope(self._proc)
            self._kept = read_memories(self._file, self._scope, now)
        except (OSError, ValueError) as error:
            log("warning", "what was learned of servers was forgotten", file=self._file, reason=error)
        return dict(self._kept)

    def due(self, now: float) -> bool:
        """Without a boot id nobody could tell later whose times these are."""
        return self._file is not None and bool(self._scope) and now - self._looked_at >= WRITE_SECONDS

    def keep(self, now: float, memories: Mapping[str, Memory]) -> None:
        """A directory that cannot be written costs what was learned at the next start, nothing else: said once."""
        self._looked_at = now
        if self._file is None or not self._scope or memories == self._kept:
            return
        try:
            write_memories(self._file, self._scope, memories)
            self._kept, self._failed = dict(memories), False
        except OSError as error:
            if not self._failed:
                log("warning", "what is learned of servers cannot be kept", file=self._file, reason=error)
            self._failed = True

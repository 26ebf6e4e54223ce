"""The writer of the in-process part, with the identity that a test gives it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vllm_monitor.snapshot import ProcessIdentity, SnapshotFile

SIZE = 1 << 16


@dataclass(frozen=True)
class Line:
    """A series: `counter`, `sum`, `max`, `last`, or `histogram` with its bounds."""

    kind: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()
    bounds: tuple[float, ...] = ()

    def text(self) -> str:
        bounds = ",".join(map(repr, self.bounds))
        return "\t".join([self.kind, self.name, bounds, *(f"{name}={value}" for name, value in self.labels)])


class SnapshotWriter(SnapshotFile):
    """Writes one file. The identity is this process's own, unless a test says otherwise."""

    def __init__(
        self,
        folder: Path,
        *,
        pid: int | None = None,
        start: int | None = None,
        boot: str | None = None,
        namespace: int | None = None,
        port: int = 0,
        server: str = "",
        rank: str = "",
        role: str = "",
        size: int = SIZE,
    ) -> None:
        own = ProcessIdentity.own()
        identity = ProcessIdentity(
            own.pid if pid is None else pid,
            own.start if start is None else start,
            own.boot if boot is None else boot,
            own.namespace if namespace is None else namespace,
        )
        super().__init__(folder / f"{identity.pid}-{identity.start}.snap", identity, port, size)
        self._about = f"@server\t{server}\n@rank\t{rank}\n" + f"@role\t{role}\n" * bool(role)
        self.lines([])
        self.write([])

    def lines(self, lines: Iterable[Line]) -> None:
        """Sets the series. The next `write` takes as many values as they need."""
        self.describe(self._about + "".join(f"{line.text()}\n" for line in lines))

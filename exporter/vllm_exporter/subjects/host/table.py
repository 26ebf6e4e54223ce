"""The wanted rows of a table such as /proc/net/dev, without taking all its rows apart each time. No I/O."""

from __future__ import annotations

from collections.abc import Callable

LOOK_AGAIN = 60  # readings: one row may have taken the place of another, and the number of rows stayed


class Table:
    """Finds rows by the bytes they begin with. All rows are looked at when their number changes, or one is missing."""

    def __init__(
        self, name_of: Callable[[bytes], tuple[str, int] | None], new: Callable[[], None] | None = None
    ) -> None:
        """`name_of` gives a row's name and where that ends, or None when the row is not wanted; `new` is called before
        all rows are looked at."""
        self._name_of = name_of
        self._new = new
        self._starts: list[bytes] = []
        self._count = -1
        self._age = 0
        self.names: tuple[str, ...] = ()

    def rows(self, data: bytes) -> list[list[bytes]]:
        """The fields after the name, in the order of `names`. Raises ValueError when a name is in two rows."""
        data = b"\n" + data
        self._age += 1
        if data.count(b"\n") != self._count or self._age > LOOK_AGAIN:
            self._learn(data)
        rows = self._find(data)
        if rows is None:
            self._learn(data)
            rows = self._find(data)
        return rows or []

    def _find(self, data: bytes) -> list[list[bytes]] | None:
        rows: list[list[bytes]] = []
        for start in self._starts:
            at = data.find(start)
            if at < 0:
                return None
            at += len(start)
            end = data.find(b"\n", at)
            rows.append(data[at : end if end >= 0 else len(data)].split())
        return rows

    def _learn(self, data: bytes) -> None:
        if self._new:
            self._new()
        self._starts, names = [], []
        for line in data.split(b"\n")[1:]:
            found = self._name_of(line)
            if found is not None:
                name, end = found
                names.append(name)
                self._starts.append(b"\n" + line[:end])
        if len(set(names)) != len(names):
            raise ValueError(f"a name is there twice: {names}")
        if tuple(names) != self.names:
            self.names = tuple(names)
        self._count, self._age = data.count(b"\n"), 0

"""Families and samples in the text of a /metrics page, found without parsing the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from vllm_exporter.errors import SourceError

NEWLINE = ord("\n")


class Page:
    """The text from the line break before its first line on.

    Where the last line has no line break the text is cut: then the last family is dropped, since samples of it may be
    missing and a sum without them would be wrong.
    """

    def __init__(self, room: bytearray, start: int, end: int) -> None:
        self._room = room
        self.start = start - 1
        self.end = end if room[end - 1] == NEWLINE else room.rfind(b"\n# ", start - 1, end) + 1

    def seek(self, name: bytes, at: int) -> int:
        """Where the first sample of a family begins, looked for from `at` on and then from the top; -1 without one."""
        key = b"\n" + name
        found = self._seek(key, at, self.end)
        return found if found >= 0 or at == self.start else self._seek(key, self.start, at + len(key) + 1)

    def end_of_family(self, at: int) -> int:
        """Where the next comment begins: the samples of a family stand together."""
        end = self._room.find(b"\n# ", at, self.end)
        return end if end >= 0 else self.end - 1

    def samples(self, name: bytes, at: int, end: int) -> Iterator[tuple[bytes, float]]:
        """Labels and value of each sample; with several API servers they may have buckets in between."""
        key = b"\n" + name
        while at >= 0:
            stop = self._room.index(b"\n", at + 1)
            yield parse_sample(bytes(self._room[at + 1 : stop]), name)
            at = self._seek(key, stop, end)

    def line(self, at: int) -> bytes:
        return bytes(self._room[at + 1 : self._room.index(b"\n", at + 1)])

    def has(self, text: bytes, at: int, end: int) -> bool:
        return self._room.find(text, at, end) >= 0

    def _seek(self, key: bytes, at: int, end: int) -> int:
        """A longer name that begins alike is another family."""
        at = self._room.find(key, at, end)
        while at >= 0 and self._room[at + len(key)] not in b"{ ":
            at = self._room.find(key, at + 1, end)
        return at


def parse_sample(line: bytes, name: bytes) -> tuple[bytes, float]:
    """The labels as they stand, and the value. Raises SourceError when it is no finite number."""
    labels, brace, rest = line[len(name) :].rpartition(b"}")
    words = rest.split()
    try:
        value = float(words[0]) if words and b"_" not in words[0] else float("nan")
    except ValueError:
        value = float("nan")
    if not isfinite(value) or len(words) > 2:
        raise SourceError(f"/metrics: {name.decode()} has {rest[:40]!r} where a number should be")
    return labels + brace, value

"""Finds model and priority in a body as it passes, which is neither kept, parsed nor changed. Pure."""

from __future__ import annotations

import re

from vllm_monitor.names import safe

UNKNOWN = "unknown"
MOST = 64 * 1024  # bytes that are looked at
MOST_KEYS = 64  # that look like ours; a body of nothing else would cost milliseconds
LONGEST = 512  # bytes of key and value; so many of a part are looked at again with the next one
WORDS = (b'"model"', b'"priority"')
KEY = re.compile(
    rb'"(?:model"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}"([^"]{1,255})"'
    rb'|priority"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}(-?[0-9]{1,9})(?=[ \t\r\n,}]))'
)
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class BodyScan:
    """Takes the parts of a JSON body. Only keys of the outermost object count, and the last of several, as in Python.

    Costs at most what parsing would: everything is looked at once, by regular expressions that cannot backtrack.
    """

    __slots__ = ("_carry", "_depth", "_in_string", "_keys", "_seen", "done", "model", "priority")

    def __init__(self) -> None:
        self.model = UNKNOWN
        self.priority = 0
        self.done = False  # nothing more will be found
        self._carry = b""
        self._seen = 0
        self._depth = 0  # of objects and lists
        self._in_string = False
        self._keys = 0

    def feed(self, part: bytes, more: bool) -> None:
        """Looks at the next part. `more`: whether another one follows."""
        if self.done:
            return
        if self._seen + len(part) > MOST:
            part = part[: MOST - self._seen]
        self._seen += len(part)
        self.done = not more or self._seen >= MOST
        data = self._carry + part if self._carry else part
        end = len(data) if self.done else self._cut(data)
        at = self._look(data, end)
        if not self.done:
            self._advance(data[at:end])
            self._carry = data[end:]

    def _look(self, data: bytes, end: int) -> int:
        """Takes the keys that begin before `end`. Returns how far depth and strings are known."""
        at = 0
        for start in _places(data, end):
            found = KEY.match(data, start)
            if found is None or data[start - 1 : start] == b"\\":  # the end of a longer string
                continue
            self._keys += 1
            if self._keys > MOST_KEYS:
                self.model, self.done = UNKNOWN, True
                break
            self._advance(data[at:start])
            at = start
            if self._depth == 1 and not self._in_string:
                self._take(found)
        return at

    def _take(self, found: re.Match[bytes]) -> None:
        model, priority = found.groups()
        if priority is not None:
            self.priority = int(priority)
            return
        text = model.replace(b"\\/", b"/")
        self.model = UNKNOWN if b"\\" in text else safe(text.decode("utf-8", "replace"))

    def _advance(self, part: bytes) -> None:
        """Follows depth and strings. A quote at the end tells by whether it closes a string if the part is in one."""
        part = b'"' * self._in_string + part
        if b'\\"' in part or b"\\\\" in part:
            outside = STRING.sub(b"", part + b'"')
            self._in_string = not outside.endswith(b'"')
        else:  # three times as fast
            between = part.split(b'"')
            outside = b"".join(between[::2])
            self._in_string = len(between) % 2 == 0
        self._depth += outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")

    def _cut(self, data: bytes) -> int:
        """Returns where the next part begins to look: no escape is cut in two."""
        end = max(0, len(data) - LONGEST)
        slashes = end - len(data[:end].rstrip(b"\\"))
        return end - slashes % 2


def _places(data: bytes, end: int) -> list[int]:
    """Returns where our words are before `end`, in order; of too many the first."""
    places: list[int] = []
    for word in WORDS:
        at = data.find(word)
        for _ in range(2 * MOST_KEYS):
            if not 0 <= at < end:
                break
            places.append(at)
            at = data.find(word, at + 1)
    places.sort()
    return places

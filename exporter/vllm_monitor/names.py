"""Words that clients choose, as label values: few in number whatever is sent, and safe to show. Pure."""

from __future__ import annotations

import re

from vllm_monitor.series import OTHER

MOST = 32  # names of a kind that have series of their own
OFTEN = 64  # requests beyond its share that a late name needs
LONGEST = 64  # characters of a name
UNSAFE = re.compile(r"[^A-Za-z0-9_.:@/+-]")


class BoundedNames:
    """At most `most` names; every other one is 'other'.

    Half of the places go to whoever comes first. The other half must be earned by coming often (Misra and Gries, 1982:
    as many counters as places find everybody with a larger share), so that strangers do not hide a large tenant.
    """

    def __init__(self, *always: str, most: int = MOST) -> None:
        self._most = most
        self._named = set(always)
        self._counts: dict[str, int] = {}

    def name(self, text: str, may_enter: bool) -> str:
        """Returns the label value. `may_enter`: whether the server knew this one, so that it may take a place."""
        if text in self._named:
            return text
        places = self._most - len(self._named)
        if not may_enter or places <= 0 or (places <= self._most // 2 and not self._comes_often(text)):
            return OTHER
        self._named.add(text)
        self._counts.pop(text, None)
        return text

    def _comes_often(self, text: str) -> bool:
        counts = self._counts
        if text in counts or len(counts) < self._most:
            counts[text] = counts.get(text, 0) + 1
        else:
            self._counts = {one: count - 1 for one, count in counts.items() if count > 1}
        return self._counts.get(text, 0) > OFTEN


def safe(text: str) -> str:
    """Returns at most LONGEST characters, of which none means anything to a query, a log or a page."""
    return UNSAFE.sub("_", text[:LONGEST])

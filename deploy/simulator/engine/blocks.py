"""The KV cache: blocks that are free, in use, or free but still holding a prompt's beginning."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class BlockPool:
    """Least recently freed blocks are taken first, so that a cached prefix lives as long as it can."""

    def __init__(self, blocks: int) -> None:
        self.total = blocks - 1  # vLLM keeps one as the null block
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(self.total))
        self._users = [0] * self.total
        self._hash: list[int | None] = [None] * self.total
        self._by_hash: dict[int, int] = {}

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def usage(self) -> float:
        return 1.0 - len(self._free) / self.total

    def cached(self, hashes: Sequence[int]) -> list[int]:
        """The blocks that hold the beginning of a prompt, up to the first that is missing. They are not taken yet."""
        found: list[int] = []
        for value in hashes:
            block = self._by_hash.get(value)
            if block is None:
                break
            found.append(block)
        return found

    def share(self, blocks: Sequence[int]) -> None:
        """Takes blocks found by `cached`."""
        for block in blocks:
            self._free.pop(block, None)
            self._users[block] += 1

    def take(self, count: int) -> list[int] | None:
        """New blocks, or None when there are not that many. What they cached is forgotten."""
        if count > len(self._free):
            return None
        return [self._take_one() for _ in range(count)]

    def remember(self, block: int, value: int) -> None:
        """The block now holds this part of a prompt, and the next prompt that begins so need not compute it."""
        if value not in self._by_hash:
            self._forget(block)
            self._hash[block] = value
            self._by_hash[value] = block

    def give_back(self, blocks: Sequence[int]) -> None:
        """Last block first: the end of a prompt is shared less often than its beginning."""
        for block in reversed(blocks):
            self._users[block] -= 1
            if self._users[block] == 0:
                self._free[block] = None

    def reset(self) -> bool:
        """Forgets all prefixes; False while a block is in use, as vLLM answers then."""
        if len(self._free) < self.total:
            return False
        self._hash = [None] * self.total
        self._by_hash.clear()
        return True

    def _take_one(self) -> int:
        block, _ = self._free.popitem(last=False)
        self._forget(block)
        self._users[block] = 1
        return block

    def _forget(self, block: int) -> None:
        old = self._hash[block]
        if old is not None:
            del self._by_hash[old]
            self._hash[block] = None

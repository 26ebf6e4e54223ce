"""Prompts to tokens and tokens to words. Nothing is understood: a token is four characters, an answer is a word list.

The same prompt always gets the same answer, so that a changed answer is a sign.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from zlib import crc32

CHARACTERS = 4  # of one token; what English text has on average

_SENTENCE = (
    "a server that answers is not yet a server that works so ask it for one word and wait until it comes "
    "then count the steps and look at the queue before you take it out and start it again"
)
_WORDS = _SENTENCE.split()

POISON = "poison pill"  # a prompt with these words kills an engine that has the failure `poison`

CORRUPTED = "!"  # what broken kernels and NaN logits are often seen to give, over and over


def tokens_of(prompt: str | Sequence[int]) -> list[str] | Sequence[int]:
    if isinstance(prompt, str):
        return [prompt[at : at + CHARACTERS] for at in range(0, len(prompt), CHARACTERS)]
    return prompt


def block_hashes(tokens: Sequence[str] | Sequence[int], block_size: int) -> tuple[int, ...]:
    """One for each full block, of the block and all before it: equal beginnings give equal hashes."""
    found: list[int] = []
    value = 0
    for start in range(0, len(tokens) - block_size + 1, block_size):
        value = crc32(repr(tokens[start : start + block_size]).encode(), value)
        found.append(value << 32 | start)  # the place keeps two blocks of one prompt apart
    return tuple(found)


def answer_seed(tokens: Sequence[str] | Sequence[int], seed: int) -> int:
    return crc32(repr(list(tokens)).encode(), seed)


def answer_length(seed: int, median: int) -> int:
    """Tokens of an answer that ends by itself: log-normal, as observed answer lengths nearly are."""
    return max(1, int(median * random.Random(seed).lognormvariate(0.0, 0.7)))


def answer(seed: int, start: int, count: int, corrupted: bool = False) -> str:
    """Tokens start to start + count of the answer."""
    if corrupted:
        return CORRUPTED * count
    places = (seed + 7 * index + index * index for index in range(start, start + count))
    return "".join(f" {_WORDS[place % len(_WORDS)]}" for place in places)

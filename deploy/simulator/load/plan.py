"""Plans the requests: Poisson arrivals, log-normal lengths. The same seed gives the same load. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.simulator.load.client import Wish
from deploy.simulator.words import CHARACTERS

SHARED_IDS = 160  # tokens of a common beginning: more than a block of 128, the largest in use
IDS = 1000  # ids below this are in every vocabulary
SPREAD = 0.6  # sigma of the lengths' logarithm: one in twenty is about 2.7 times the median


@dataclass(frozen=True)
class LoadOptions:
    """Times are real seconds."""

    rate: float = 2.0  # requests a second, over all servers
    seconds: float = 60.0
    prompt_tokens: int = 64  # median
    output_tokens: int = 64  # median
    stream_share: float = 0.5
    shared_share: float = 0.3  # prompts that begin as others do: what a prefix cache is for
    in_flight: int = 256  # at most; arrivals beyond are dropped and counted
    timeout: float = 60.0
    seed: int = 0
    longest: int = 1500  # tokens of a prompt, and of an answer
    token_ids: bool = False  # prompts as ids, so that every tokenizer counts the same


@dataclass(frozen=True)
class Arrival:
    """One request."""

    at: float  # seconds since the load began
    server: int  # index among the targets
    wish: Wish


def plan(options: LoadOptions, servers: int) -> Iterator[Arrival]:
    """Yields arrivals in the order of time, for as long as the load lasts."""
    chance = random.Random(options.seed)
    at, number = chance.expovariate(options.rate), 0
    while at < options.seconds:
        yield Arrival(at, chance.randrange(servers), _wish(options, number, chance))
        at, number = at + chance.expovariate(options.rate), number + 1


def _wish(options: LoadOptions, number: int, chance: random.Random) -> Wish:
    shared = chance.random() < options.shared_share
    if options.token_ids:
        return _id_wish(options, shared, chance)
    start = "You are a helpful assistant of a large shop. Answer politely. " * 2 if shared else ""
    size = CHARACTERS * _length(options.prompt_tokens, options.longest, chance)
    text = f"{start}{number:07d} {options.seed} "
    text += "text" * (max(0, size - len(text)) // CHARACTERS)
    return Wish(text, _length(options.output_tokens, options.longest, chance), chance.random() < options.stream_share)


def _id_wish(options: LoadOptions, shared: bool, chance: random.Random) -> Wish:
    start = tuple(range(10, 10 + SHARED_IDS)) if shared else ()
    size = max(1, _length(options.prompt_tokens, options.longest, chance) - len(start))
    prompt = (*start, *(chance.randrange(10, IDS) for _ in range(size)))
    return Wish(prompt, _length(options.output_tokens, options.longest, chance), chance.random() < options.stream_share)


def _length(median: int, longest: int, chance: random.Random) -> int:
    return max(1, min(longest, int(median * chance.lognormvariate(0.0, SPREAD))))

"""A script of failures: what breaks when. The same seed gives the same script.

    # seconds      how
    30             hang
    90             mend
    120..300       crash_loop times=3
    600..900       random            # any of the list

Seconds are simulated ones since the script began; a..b is a moment between the two that the seed decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from deploy.simulator.errors import OptionError, SimulatorError
from deploy.simulator.failures.catalogue import FAILURES, find

MEND = "mend"
RANDOM = "random"

# `random` leaves out what a server does not come back from by itself or by one restart.
_STAYS = frozenset({"gpu_lost", "start_never_ends", "crash_loop", "poison", "orphan"})
_RANDOM = tuple(how for how in FAILURES if how not in _STAYS)


@dataclass(frozen=True)
class Planned:
    """One line of a script."""

    at: float
    how: str
    times: int | None = None


def parse_script(text: str, seed: int) -> tuple[Planned, ...]:
    """Returns the failures in the order of time. Raises OptionError naming the line."""
    chance = random.Random(seed)
    planned = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            planned.append(_parse_line(words, number, chance))
    return tuple(sorted(planned, key=lambda one: one.at))


def _parse_line(words: list[str], number: int, chance: random.Random) -> Planned:
    if len(words) < 2:
        raise OptionError(f"script line {number}: {words[0]!r} stands alone: write SECONDS HOW, such as `30 hang`")
    how = chance.choice(_RANDOM) if words[1] == RANDOM else words[1]
    try:
        if how != MEND:
            find(how)
        return Planned(_parse_time(words[0], chance), how, _parse_times(words[2:]))
    except (ValueError, SimulatorError) as error:
        raise OptionError(f"script line {number}: {error}") from None


def _parse_time(word: str, chance: random.Random) -> float:
    first, dots, last = word.partition("..")
    try:
        return chance.uniform(float(first), float(last)) if dots else float(first)
    except ValueError:
        raise ValueError(f"{word!r} is neither seconds nor a range such as 120..300") from None


def _parse_times(words: list[str]) -> int | None:
    if not words:
        return None
    name, _, value = words[0].partition("=")
    if name != "times" or not value.isdigit() or int(value) < 1 or len(words) > 1:
        raise ValueError(f"{' '.join(words)!r} is not understood: only times=N may follow")
    return int(value)

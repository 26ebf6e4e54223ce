"""What three servers on two hosts do on a made-up day: traffic by the hour, and whatever operators do to them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

SCRAPE = 15  # seconds
HOUR = 3600 // SCRAPE  # scrapes
DAY = 24 * HOUR
NIGHT, MORNING = 22, 7  # o'clock
START_TIMEOUT = 900  # seconds; this operator's healer.yml gives starts more than the default, for they are slow
ROLLING = (2, 8, 14, 20)  # o'clock: restarts begin, ten minutes apart

Line = dict[str, str]  # of promtool's input: series and values

ANSWERING = frozenset({"serving", "burst", "long_prompts", "asleep", "paused", "draining"})
# As the exporter names them; loading has phases.
LIFECYCLE = {"draining": "draining", "exited": "exited", "asleep": "sleeping", "paused": "paused"}
PHASES = ("weights_loading", "compiling", "graph_capture")


@dataclass(frozen=True)
class Server:
    """One of the fleet, its GPUs and how it is watched."""

    name: str
    host: str
    gpus: tuple[int, ...]
    engines: int = 1
    inside: bool = True  # with the part inside vLLM


FLEET = (
    Server("alpha:8000", "alpha", (0,)),
    Server("alpha:8001", "alpha", (1,)),
    Server("beta:8000", "beta", (0, 1), engines=2, inside=False),
)


@dataclass(frozen=True)
class Moment:
    """What a server does in one scrape. Times are in scrapes since the beginning."""

    word: str
    since: int  # the word holds since
    started: int  # its process began
    rate: float = 0.0  # requests a second
    phase: str = ""  # of a start

    @property
    def here(self) -> bool:
        """Not scaled away."""
        return self.word != "away"

    @property
    def answers(self) -> bool:
        return self.word in ANSWERING

    @property
    def alive(self) -> bool:
        return self.word not in ("away", "exited")

    @property
    def state(self) -> str:
        """Of the lifecycle."""
        return self.phase or LIFECYCLE.get(self.word) or ("serving" if self.rate > 0.2 else "idle")


def course(chance: random.Random, number: int, first: int, scrapes: int) -> Iterator[Moment]:
    """Restarts go from server to server; the rest is chance. `first`: the scrape of the day with which it begins."""
    word, since, started, left = "serving", 0, -DAY, 0
    follow: list[tuple[str, int]] = []
    for now in range(scrapes):
        clock = (first + now) % DAY
        if word != "away" and clock in [hour * HOUR + number * 40 for hour in ROLLING]:
            follow, left = [("draining", 4), ("exited", 1), ("loading", _start(chance))], 0
        if left <= 0:
            if not follow and word == "away":
                follow = [("loading", _start(chance))]
            word, left = follow.pop(0) if follow else _next(chance, clock / HOUR)
            since, started = now, now if word == "loading" else started
        left -= 1
        phase = PHASES[min(2, 3 * (now - since) // (now - since + left + 1))] if word == "loading" else ""
        yield Moment(word, since, started, _rate(chance, word, clock / HOUR), phase)


def _start(chance: random.Random) -> int:
    """Scrapes that a start takes: a small model from memory, or a large one over the network."""
    return chance.choice((chance.randint(6, 20), chance.randint(20, START_TIMEOUT // SCRAPE - 4)))


def _next(chance: random.Random, hour: float) -> tuple[str, int]:
    day = MORNING <= hour < NIGHT
    words = ("serving", "burst", "long_prompts", "paused", "asleep", "away")
    word = chance.choices(words, (70, 12, 8, 2, 0, 2) if day else (85, 1, 4, 1, 4, 3))[0]
    length = {
        "serving": (12, 80),
        "burst": (2, 30),
        "long_prompts": (2, 12),
        "paused": (4, 50),
        "asleep": (40, 160),
        "away": (60, 240),
    }
    return word, chance.randint(*length[word])


def _rate(chance: random.Random, word: str, hour: float) -> float:
    """Much at three in the afternoon, next to nothing at three at night."""
    if word not in ("serving", "burst", "long_prompts"):
        return 0.0
    usual = max(0.02, 1.6 - 1.6 * math.cos((hour - 3) / 24 * 2 * math.pi))
    return usual * {"burst": 3.0}.get(word, 1.0) * chance.uniform(0.7, 1.3)


def line(name: str, labels: dict[str, str], values: Sequence[float | None]) -> Line:
    """promtool's input, where 1x3 is 1 and three times more; what is not shown ends the series, as a scrape without it
    does."""
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    texts: list[str] = []
    before = False
    for value, times in ((value, len(list(same))) for value, same in groupby(values)):
        if value is None:
            texts += ["stale"] if before else []
            texts += [f"_x{times - before}"] if times > before else []
        else:
            text = f"{value:.0f}" if value >= 1e6 else f"{value:.6g}"
            texts.append(f"{text}x{times - 1}" if times > 1 else text)
        before = value is not None
    return {"series": f"{name}{{{inside}}}", "values": " ".join(texts)}


def shown(values: Sequence[float], when: Sequence[bool]) -> list[float | None]:
    return [value if there else None for value, there in zip(values, when, strict=True)]


def total(steps: Sequence[float], began: Sequence[int] | None = None) -> list[float]:
    """A counter of so much a second. It begins anew where `began` changes."""
    found, so_far, before = [], 0.0, began[0] if began else 0
    for number, step in enumerate(steps):
        if began and began[number] != before:
            so_far, before = 0.0, began[number]
        so_far += step * SCRAPE
        found.append(so_far)
    return found

"""What a changed vLLM may give instead of statistics: any value in any attribute, those that raise included."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from tests.monitor import eras


class Raising:
    """Every attribute raises, as a property of a class that was changed may do."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Odd(float):
    """A number that raises when it is compared."""

    def __ge__(self, other: object) -> bool:
        raise TypeError("not comparable")

    __le__ = __gt__ = __lt__ = __ge__


NUMBERS: tuple[Any, ...] = (None, True, -1, 0, 7, 10**400, 0.5, float("nan"), float("inf"), Odd(1.0))
LISTS: tuple[Any, ...] = (
    [],
    [None],
    [0.1, "x", float("nan")],
    (1, 2),
    {},
    {"a": 1},
    {1: "a"},
    {"a": None},
    [Raising()],
)
VALUES: tuple[Any, ...] = (*NUMBERS, *LISTS, "text", b"bytes", Raising(), object(), lambda: 1, eras.Reason("stop"))
REQUEST = sorted(vars(eras.finished("0.32.0")))


def names(era: str) -> list[str]:
    """The attributes that vLLM's statistics of that release have, and one that none has."""
    return sorted({*vars(eras.scheduler(era)), *vars(eras.iteration(era)), "strange"})


def strange(dice: random.Random, known: list[str], deep: int = 2) -> Any:
    """An object with some of the attributes, and any value in each."""
    made = SimpleNamespace()
    for name in dice.sample(known, dice.randrange(len(known))):
        inner = deep and dice.random() < 0.3
        value = [strange(dice, REQUEST, 0)] if inner and name == "finished_requests" else dice.choice(VALUES)
        setattr(made, name, strange(dice, known, deep - 1) if inner and not isinstance(value, list) else value)
    return made


def changed(dice: random.Random, made: Any) -> Any:
    """Statistics as they are, but for some attributes that are gone or hold anything, one level down as well."""
    for name, value in list(vars(made).items()):
        if dice.random() < 0.1:
            delattr(made, name)
        elif dice.random() < 0.2:
            setattr(made, name, dice.choice(VALUES))
        elif isinstance(value, SimpleNamespace):
            changed(dice, value)
        elif isinstance(value, list):
            setattr(made, name, [changed(dice, one) if hasattr(one, "__dict__") else one for one in value])
    return made


def statistics(dice: random.Random, era: str) -> tuple[Any, Any]:
    """The two that a step of that release has: half of them changed, the other half nothing like it."""
    if dice.random() < 0.5:
        return changed(dice, eras.scheduler(era)), changed(dice, eras.iteration(era))
    first, second = (strange(dice, names(era)) if dice.random() < 0.8 else dice.choice(VALUES) for _ in range(2))
    return first, second

"""kill -9 at a write to the journal, by an exception that nothing catches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

WRITES = ("open_incident", "attach", "set_state", "note", "note_open", "reserve", "step", "finish", "conclude")


class Killed(BaseException):
    """No code of the healer catches it."""


def kill_at(world: Any, monkeypatch: pytest.MonkeyPatch, point: int, written: bool) -> list[str]:
    """Ends the healer at its write number `point`, before or after the disk has it. Returns the writes as they come."""
    made: list[str] = []

    def dying(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            made.append(name)
            if len(made) != point:
                return write(*arguments, **more)
            if written:
                write(*arguments, **more)
            raise Killed

        return call

    for name in WRITES:
        monkeypatch.setattr(world.journal, name, dying(name, getattr(world.journal, name)))
    return made

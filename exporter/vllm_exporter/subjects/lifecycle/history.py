"""The state of one server, since when, and its changes: everything that is shown and saved. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from vllm_exporter.subjects.lifecycle.phases import Phases
from vllm_exporter.subjects.lifecycle.transitions import allowed

Pair = tuple[str, str]


@dataclass(frozen=True)
class Transition:
    """A change of state. `seconds` is how long the old one lasted."""

    at: float
    old: str
    new: str
    seconds: float
    legal: bool


class History:
    """Records the changes. Times are monotonic seconds; one before the last change counts as that of the change."""

    def __init__(self) -> None:
        self.state = ""  # '' before the first look
        self.since = 0.0
        self.transitions: Counter[Pair] = Counter()
        self.illegal: Counter[Pair] = Counter()  # evidence of a state that cannot follow, believed or not
        self.phases = Phases()
        self.version = 0  # of everything that is shown and saved, except the time in the state
        self._made: list[Transition] = []

    def take(self) -> list[Transition]:
        """Returns the changes since the last call, in their order."""
        made, self._made = self._made, []
        return made

    def clamp(self, at: float, now: float) -> float:
        return min(max(at, self.since), now) if self.state else now

    def enter(self, state: str, at: float, now: float) -> None:
        if state == self.state:
            return
        at = self.clamp(at, now)
        self.version += 1
        if not self.state:  # the first look: nothing is known of what was before
            self.state, self.since = state, at
            return
        legal = allowed(self.state, state)
        self.transitions[self.state, state] += 1
        if not legal:
            self.refuse(self.state, state)
        if state == "listening":
            self.phases.ready(at)
        self.phases.leave(self.state, self.since, at)
        self._made.append(Transition(at, self.state, state, at - self.since, legal))
        self.state, self.since = state, at

    def refuse(self, old: str, new: str) -> None:
        self.illegal[old, new] += 1
        self.version += 1

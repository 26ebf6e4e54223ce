"""One thread for all collectors that only read kernel files: to wake up costs as much as to read one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vllm_exporter.ports import Clock
from vllm_exporter.run.runner import Runner, next_due

STUCK_SECONDS = 5.0  # a run that takes this long is left to a thread of its own; the longest of a healthy host is 0.05


@dataclass
class Turn:
    """A collector and when it runs next, in monotonic seconds."""

    runner: Runner
    due: float


class Wheel:
    """Runs collectors one after another, each at its interval.

    One that hangs, which no kernel file should, keeps the thread it hangs in: `relieve` makes another for the rest.
    """

    def __init__(self, runners: Iterable[Runner], clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._turns = [Turn(runner, clock.monotonic()) for runner in runners]
        self._lock = threading.Lock()  # for the three below: a hung run may end while its thread is being replaced
        self._running: tuple[Turn, float] | None = None  # and since when
        self._generation = 0

    def run(self) -> None:
        """The body of its thread: until `stop`, or until another has been made since."""
        mine = self._generation
        while self._turns and not self._stop.is_set():
            self._stop.wait(max(0.0, min(turn.due for turn in self._turns) - self._clock.monotonic()))
            for turn in self.due(self._clock.monotonic()):
                if self._stop.is_set():
                    break
                if not self.run_turn(turn, mine):
                    turn.runner.run_until(self._stop)
                    return
        for turn in self._turns:
            turn.runner.close()

    def due(self, now: float) -> list[Turn]:
        return [turn for turn in self._turns if turn.due <= now]

    def run_turn(self, turn: Turn, generation: int = 0) -> bool:
        """Runs a collector. False: it hung for so long that the others have a new thread; it keeps this one."""
        self._running = (turn, self._clock.monotonic())
        turn.runner.run_once()
        turn.due = next_due(turn.due, self._clock.monotonic(), turn.runner.pause)
        with self._lock:
            if self._generation != generation:
                return False
            self._running = None
            return True

    def relieve(self, start: Callable[[Callable[[], None], str], None]) -> str:
        """Starts a new thread, by `start(body, name)`, when the present one hangs. The collector's name, or ''.

        Raises RuntimeError when there can be no new thread, as `start` does: then all is as before, and may be tried
        again. The lock is held until it runs: a run that ends meanwhile learns whether it still has the others.
        """
        with self._lock:
            running, now = self._running, self._clock.monotonic()
            if running is None or now - running[1] < STUCK_SECONDS:
                return ""
            turn, turns = running[0], self._turns
            self._running = None
            self._turns = [one for one in turns if one is not turn]
            self._generation += 1
            try:
                start(self.run, f"collectors-{self._generation}")
            except RuntimeError:
                self._running, self._turns, self._generation = running, turns, self._generation - 1
                raise
        return turn.runner.name

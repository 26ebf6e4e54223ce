"""The longest gap between two movements of an engine that worked: what the stall limit is learned from. Pure.

A silence that ends by itself may have been a long step, or a hang. It is a measure of steps only when the engine worked
in it: its processes used a CPU or its GPUs. Where that cannot be seen, as on another host, it has to be shorter than
the limit, so that it never counted as a stall. What was learned is forgotten within hours: one mistake must not hide
the hangs of a server for the rest of its life.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT_SECONDS = 3600.0  # for which a gap counts in full: traffic of an hour shows such a step again, if there are any
HALF_LIFE = 3600.0  # seconds, after that: 60 s are below the shortest limit's share of 6 s in less than five hours
BUSY_CPU = 0.1  # cores of all engines and workers together: one that waits for a GPU spins, or wakes to look
BUSY_GPU = 0.05  # share of time, of the busiest of its GPUs
MOSTLY = 0.5  # of a silence


@dataclass(frozen=True)
class EngineEffort:
    """The use of CPUs and GPUs by the engines and workers of a server, as far as they are on this host."""

    cpu_seconds: float  # of all of them, since they started
    stopped: bool = False  # one of them is stopped (SIGSTOP, a debugger): none can make a step
    gpu: float | None = None  # 0 to 1, the busiest of their GPUs; None: not known


@dataclass(frozen=True)
class Gap:
    """A silence between two movements, in seconds, and when it ended, by the monotonic clock."""

    seconds: float = 0.0
    ended: float = 0.0

    def left(self, now: float) -> float:
        """Returns what still counts of it."""
        past = now - self.ended - KEPT_SECONDS
        return self.seconds if past <= 0 else self.seconds * 0.5 ** (past / HALF_LIFE)


class Gaps:
    """The longest gap of one server. Times are the monotonic clock's, in seconds."""

    def __init__(self) -> None:
        self.longest = Gap()
        self._seen: tuple[float, EngineEffort] | None = None
        self._busy = self._idle = 0.0  # seconds of the present silence in which the engine worked, or did not

    def saw_effort(self, now: float, effort: EngineEffort) -> None:
        """Takes a look at the processes. Two are needed to know what was used between them."""
        before, self._seen = self._seen, (now, effort)
        if before is None or now <= before[0]:
            return
        seconds, used = now - before[0], effort.cpu_seconds - before[1].cpu_seconds
        works = used >= BUSY_CPU * seconds or (effort.gpu or 0.0) >= BUSY_GPU
        if works and not effort.stopped:
            self._busy += seconds
        else:
            self._idle += seconds

    def start(self) -> None:
        """Begins with a new silence."""
        self._busy = self._idle = 0.0

    def end(self, now: float, seconds: float, limit: float) -> None:
        """Takes a silence that ended with a movement, while there was work."""
        worked, rested = self._busy >= MOSTLY * seconds, self._idle >= MOSTLY * seconds
        if worked or (seconds < limit and not rested):
            self.take(now, Gap(seconds, now))

    def take(self, now: float, gap: Gap) -> None:
        """Takes a gap that counts, if it is the longest by now."""
        if gap.seconds and gap.left(now) >= self.longest.left(now):
            self.longest = gap

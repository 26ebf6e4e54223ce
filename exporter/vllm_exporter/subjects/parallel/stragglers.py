"""Finds the rank of a parallel group that holds the others up. Pure: decides from looks at processes and their steps.

Ranks of one tensor group wait for each other in every layer, so the slowest sets the pace of all. How it shows differs:
a process that is stopped is in state T, one that waits for a disk or a driver in D, one that shares its CPU with others
waits in the run queue, and one that computes less than its peers spends less CPU time while they spin. Where the
in-process part counts steps, their time without the waiting for others shows it directly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

StragglerReason = Literal["stopped", "blocked", "starved", "little_cpu", "slow_steps"]

WINDOW = 30.0  # seconds of looks: long enough for bursts, and twice within a minute
LEAST = 10.0  # seconds before a rank is judged
STOPPED = 0.10  # share of looks: a process that nobody stops is never seen stopped
BLOCKED = 0.30  # share of looks; a checkpoint or a page fault now and then is no fault
STARVED = 0.30  # of the time in the run queue
SHARE = 0.5  # of the peers' CPU time
SLOWER = 0.25  # of the peers' time a step
BUSY = 0.2  # of a core: peers below this are idle, and their differences mean nothing
APART = 2.0  # times the median of the peers: a trouble that all ranks share makes none a straggler


@dataclass(frozen=True)
class RankLook:
    """One look at one rank. Counters are since the process's start."""

    at: float  # monotonic seconds
    state: str  # of the kernel: R, S, D, T …
    cpu: float  # seconds
    run_delay: float | None = None  # seconds its main thread waited for a CPU
    steps: float | None = None
    step_seconds: float | None = None  # seconds in its steps, without waiting for others where that is known


@dataclass(frozen=True)
class StepRate:
    """The pace of a rank in the window."""

    seconds: float  # between the first look and the last
    stopped: float  # share of looks
    blocked: float
    cpu: float  # cores
    starved: float | None  # share of time; None: the kernel does not count it
    step: float | None  # seconds per step; None: it does not count its steps, or made none


@dataclass(frozen=True)
class RankVerdict:
    """The verdict on one rank. `reason` is None when it keeps up."""

    pace: StepRate
    reason: StragglerReason | None
    words: str = ""


class RankHistory:
    """The looks at one process within the window, the oldest of them as old as the window."""

    def __init__(self) -> None:
        self._looks: deque[RankLook] = deque()

    def add(self, look: RankLook) -> None:
        self._looks.append(look)
        while len(self._looks) > 2 and look.at - self._looks[1].at >= WINDOW:
            self._looks.popleft()

    def pace(self) -> StepRate | None:
        """Returns None before there are enough looks."""
        looks = self._looks
        span = looks[-1].at - looks[0].at if looks else 0.0
        return measure(looks, span) if span >= LEAST else None


def measure(looks: Sequence[RankLook] | deque[RankLook], span: float) -> StepRate:
    first, last = looks[0], looks[-1]
    starved = None
    if first.run_delay is not None and last.run_delay is not None:
        starved = min(1.0, max(0.0, last.run_delay - first.run_delay) / span)
    return StepRate(
        seconds=span,
        stopped=sum(1 for look in looks if look.state in "Tt") / len(looks),
        blocked=sum(1 for look in looks if look.state == "D") / len(looks),
        cpu=max(0.0, last.cpu - first.cpu) / span,
        starved=starved,
        step=step_time(first, last),
    )


def step_time(first: RankLook, last: RankLook) -> float | None:
    if first.steps is None or last.steps is None or first.step_seconds is None or last.step_seconds is None:
        return None
    made = last.steps - first.steps
    return (last.step_seconds - first.step_seconds) / made if made > 0 else None


def judge(paces: Mapping[str, StepRate], lockstep: bool, working: bool) -> dict[str, RankVerdict]:
    """Judges the ranks of one group, by name. `lockstep`: they compute each step together, so that their CPU times
    compare. `working`: the server has work; ranks that idle may do so differently.
    """
    return {rank: RankVerdict(pace, *_judge(rank, pace, paces, lockstep, working)) for rank, pace in paces.items()}


def skew(paces: Mapping[str, StepRate]) -> float | None:
    """Returns how much longer the slowest rank's step takes than the median one, as a share. None below two ranks."""
    steps = [pace.step for pace in paces.values() if pace.step is not None]
    usual = middle(steps) if len(steps) > 1 else 0.0
    return max(steps) / usual - 1 if usual > 0 else None


def middle(numbers: Sequence[float]) -> float:
    """Returns the median, of an even number the lower one. Importing `statistics` would take 1.5 MiB."""
    return sorted(numbers)[(len(numbers) - 1) // 2]


def _judge(
    rank: str, pace: StepRate, paces: Mapping[str, StepRate], lockstep: bool, working: bool
) -> tuple[StragglerReason | None, str]:
    """Returns the first reason that holds, the surest first."""
    peers = [other for name, other in paces.items() if name != rank]
    if not peers:
        return None, ""
    if pace.stopped >= STOPPED and pace.stopped > APART * middle([one.stopped for one in peers]):
        return "stopped", f"was stopped in {pace.stopped:.0%} of the looks of {pace.seconds:.0f} s"
    if pace.blocked >= BLOCKED and pace.blocked > APART * middle([one.blocked for one in peers]):
        return "blocked", f"waited in the kernel in {pace.blocked:.0%} of the looks of {pace.seconds:.0f} s"
    if lockstep and (found := _slow_steps(pace, peers)):
        return "slow_steps", found
    waits = [one.starved for one in peers if one.starved is not None]
    if pace.starved is not None and waits and pace.starved >= STARVED and pace.starved > APART * middle(waits):
        return "starved", f"waited for a CPU {pace.starved:.0%} of the time"
    usual = middle([one.cpu for one in peers])
    if lockstep and working and usual >= BUSY and pace.cpu < SHARE * usual:
        return "little_cpu", f"took {pace.cpu:.2f} of a core, the others {usual:.2f}"
    return None, ""


def _slow_steps(pace: StepRate, peers: Sequence[StepRate]) -> str:
    steps = [one.step for one in peers if one.step is not None]
    if pace.step is None or not steps:
        return ""
    usual = middle(steps)
    slow = usual > 0 and pace.step > (1 + SLOWER) * usual
    return f"takes {pace.step * 1000:.1f} ms a step, the others {usual * 1000:.1f} ms" if slow else ""

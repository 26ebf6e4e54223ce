"""What one round of the collectors costs in CPU time. Run as a program, so that nothing else is in its caches.

python -m tests.exporter.bench.cycle hot|cold|slow REPETITIONS    prints microseconds, one number a repetition
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

from vllm_exporter.app import load_collectors
from vllm_exporter.clock import SystemClock
from vllm_exporter.config.config import Config
from vllm_exporter.log import log
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.run.runner import Runner

HOT = 500  # rounds of a repetition
SLOW = 50
COLD = 11
ALWAYS = ("system", "gpu")  # the host and its GPUs, whatever thread they run in
QUICK_SECONDS = 1.0  # collectors with at most this interval are on the 1 s wheel
SLOW_SECONDS = 10.0


class Ahead(SystemClock):
    """The system's clock, moved on at will: what is read every ten seconds is due again."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


def main() -> int:
    how, repetitions = sys.argv[1], int(sys.argv[2])
    gc.disable()
    clock = Ahead()
    classes = load_collectors()
    quick = runners(classes, clock, quick=True)
    slow = runners(classes, clock, quick=False)
    print("collectors:", *(one.name for one in quick), "| every 10 s:", *(one.name for one in slow), file=sys.stderr)
    for runner in quick + slow:
        runner.run_once()

    def once() -> None:
        for runner in quick:
            runner.run_once()

    def everything() -> None:
        clock.ahead += SLOW_SECONDS
        for runner in quick + slow:
            runner.run_once()

    measure: dict[str, Callable[[], float]] = {
        "hot": lambda: loop(once, HOT),
        "slow": lambda: loop(everything, SLOW),
        "cold": lambda: cold(once),
    }
    for _ in range(repetitions):
        print(measure[how](), flush=True)
    return 0


def runners(classes: dict[str, type[Collector]], clock: Ahead, quick: bool) -> list[Runner]:
    """Of the collectors that share the wheel's thread those of the 1 s wheel, GPUs with them; or all others."""
    context = Context(Config(), clock)
    chosen = {
        name: cls
        for name, cls in classes.items()
        if (name in ALWAYS or (not cls.blocking and cls.interval <= QUICK_SECONDS)) == quick
        and (name in ALWAYS or not cls.blocking)
    }
    return [Runner(name, partial(cls, context), cls, clock, 15.0, log) for name, cls in chosen.items()]


def loop(run: Callable[[], None], times: int) -> float:
    """Microseconds of CPU a round, one after another."""
    began = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - began) / times * 1e6


def cold(run: Callable[[], None]) -> float:
    """Microseconds of CPU of a round after a second of sleep, waking up included: the median of COLD rounds."""
    found: list[float] = []
    for _ in range(COLD):
        began = time.process_time()
        time.sleep(1.0)
        run()
        found.append((time.process_time() - began) * 1e6)
    return median(found)


if __name__ == "__main__":
    sys.exit(main())

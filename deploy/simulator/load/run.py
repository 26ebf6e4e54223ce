"""The load generator: sends the plan's requests when they are due, and says what came of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from deploy.simulator.load.client import Endpoint, Timing, complete
from deploy.simulator.load.plan import Arrival, LoadOptions, plan

DROPPED = "dropped"  # more requests were in flight than allowed

REPORT_SECONDS = 10.0


@dataclass
class Report:
    """The outcomes and times that the clients saw."""

    outcomes: Counter[str] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def add(self, timing: Timing) -> None:
        self.outcomes[timing.outcome] += 1
        if timing.outcome != "ok":
            return
        self.whole.append(timing.seconds)
        if timing.first is not None:
            self.first.append(timing.first)
        if timing.gap is not None:
            self.gaps.append(timing.gap)

    @property
    def medians(self) -> dict[str, float]:
        """Seconds; only of what was seen."""
        seen = {"time_to_first_token": self.first, "inter_token_latency": self.gaps, "request": self.whole}
        return {name: median(values) for name, values in seen.items() if values}

    def words(self) -> str:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        times = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in self.medians.items())
        return f"{counts or 'no requests'}" + (f"; medians: {times}" if times else "")


async def run_load(targets: Sequence[Endpoint], options: LoadOptions, quiet: bool = True) -> Report:
    """Until the last request is answered, or its time is over."""
    report, tasks, began = Report(), set[asyncio.Task[None]](), time.monotonic()
    spoken = began
    for arrival in plan(options, len(targets)):
        await asyncio.sleep(max(0.0, began + arrival.at - time.monotonic()))
        if len(tasks) >= options.in_flight:
            report.outcomes[DROPPED] += 1
            continue
        task = asyncio.create_task(_one(targets, arrival, options, report))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if not quiet and time.monotonic() - spoken > REPORT_SECONDS:
            spoken = time.monotonic()
            print(f"{spoken - began:.0f} s: {report.words()}", flush=True)
    if tasks:
        await asyncio.wait(tasks)
    return report


async def _one(targets: Sequence[Endpoint], arrival: Arrival, options: LoadOptions, report: Report) -> None:
    report.add(await complete(targets[arrival.server], arrival.wish, options.timeout))

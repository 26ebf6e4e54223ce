"""Which alerts fire on made-up days of three servers on which nothing is wrong.

Run from the checkout: python benchmarks/false_alarms.py [--seed 1] [--first 1] [--days 30] [--jobs 2] [--json FILE].
A day has its traffic by the hour, bursts, long prompts, restarts one after the other, slow model loads, sleep, pauses
and servers that are scaled away; their hosts and GPUs, downloads, and restarts of the parts that watch. promtool's own
engine evaluates all alerts every 15 s. What Alertmanager holds back is told to nobody. Each day has a seed of its own,
`<seed>.<number>`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.alerts.days.course import DAY
from tests.alerts.days.evaluation import Told, evaluate
from tests.alerts.days.made_up import courses, series
from tests.alerts.toolchain import find_generations
from tests.e2e.harness.benchmark import make_parser, write


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--seed", default="1", metavar="WORD", help="of the made-up days (default 1)")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="number of the first day (default 1)")
    parser.add_argument("--days", type=int, default=30, metavar="N", help="how many (default 30)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="days at once, each on one core (default 2)")
    arguments = parser.parse_args(argv)
    generations = find_generations()
    if not generations or arguments.days < 1 or arguments.jobs < 1:
        print("needs promtool (make install), at least one day and one job", file=sys.stderr)
        return 2
    numbers = range(arguments.first, arguments.first + arguments.days)
    seeds = [f"{arguments.seed}.{number}" for number in numbers]
    pages: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    for seed, told in zip(seeds, days(generations[0].promtool, seeds, arguments.jobs), strict=True):
        print(
            f"day {seed}: minutes of pages {told.pages}, of warnings {told.warnings}, of notices {told.notices}",
            flush=True,
        )
        pages.update(told.pages.keys())
        warnings.update(told.warnings.keys())
    name = f"seed_{arguments.seed}_{arguments.days}_days"
    found = {f"{name}_pages": figure(pages, "pages"), f"{name}_warnings": figure(warnings, "warnings")}
    write(arguments.json, found)
    return 1 if pages or warnings else 0


def days(promtool: str, seeds: Sequence[str], jobs: int) -> Iterator[Told]:
    """In the order of the seeds."""

    def day(seed: str) -> Told:
        return evaluate(promtool, seed, series(seed, 0, courses(seed, 0, DAY)), DAY)

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(day, seeds)


def figure(counted: Counter[str], unit: str) -> dict[str, object]:
    """Alerts by day: one that fires on two days counts twice."""
    value = counted.total()
    return {"value": value, "median": value, "best": value, "unit": unit, "goal": 0, "ok": not value, "repetitions": 1}


if __name__ == "__main__":
    sys.exit(main())

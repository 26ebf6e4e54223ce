"""Which alerts fire on made-up days of three servers on which nothing is wrong.

Run from the checkout: python benchmarks/false_alarms.py [--seed 1] [--first 1] [--days 30] [--jobs 2] [--json FILE].
A day has its traffic by the hour, bursts, long prompts, restarts one after the other, slow model loads, sleep, pauses
and servers that are scaled away; their hosts and GPUs, downloads, and restarts of the parts that watch. promtool's own
engine evaluates all alerts every 15 s. What Alertmanager holds back is told to nobody. Each day has a seed of its own,
`<seed>.<number>`.

With --real MINUTES a real vLLM is started, loaded, kept busy by long prompts, put to sleep, drained and restarted,
under all parts.
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
from tests.e2e.harness.benchmark import add_port, make_parser, write
from tests.e2e.harness.ordinary import live, told_people
from tests.e2e.harness.stack import run_directory, running_stack
from tests.e2e.harness.vllm_server import NO_SCRIPT, find_script


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--seed", default="1", metavar="WORD", help="of the made-up days (default 1)")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="number of the first day (default 1)")
    parser.add_argument("--days", type=int, default=30, metavar="N", help="how many (default 30)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="days at once, each on one core (default 2)")
    parser.add_argument("--real", type=float, metavar="MINUTES", help="instead: so long on a real vLLM")
    add_port(parser)
    arguments = parser.parse_args(argv)
    if min(arguments.days, arguments.jobs, arguments.real or 1) < 1:
        parser.error("--days, --jobs and --real begin at 1")
    if arguments.real:
        found = on_a_real_server(arguments.real, arguments.port)
    else:
        found = on_made_up_days(arguments.seed, arguments.first, arguments.days, arguments.jobs)
    write(arguments.json, found)
    return 0 if all(one["ok"] for one in found.values()) else 1


def on_made_up_days(seed: str, first: int, number: int, jobs: int) -> dict[str, dict[str, object]]:
    generations = find_generations()
    if not generations:
        raise SystemExit("needs promtool: make install")
    seeds = [f"{seed}.{day}" for day in range(first, first + number)]
    pages: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    for day, told in zip(seeds, days(generations[0].promtool, seeds, jobs), strict=True):
        print(f"day {day}: {words(told)}", flush=True)
        pages.update(told.pages.keys())
        warnings.update(told.warnings.keys())
    name = f"seed_{seed}_days_{first}_to_{first + number - 1}"
    return {
        f"{name}_pages": figure(pages.total(), "pages", 0),
        f"{name}_warnings": figure(warnings.total(), "warnings", 0),
    }


def on_a_real_server(minutes: float, port: int) -> dict[str, dict[str, object]]:
    """What is slow there is slow: only pages have a goal."""
    script = find_script()
    if script is None:
        raise SystemExit(NO_SCRIPT)
    with running_stack(run_directory(), port) as stack:
        seconds, done = live(stack, script, minutes * 60)
        told = told_people(stack, seconds)
    print(f"{seconds / 60:.0f} minutes, {len(done)} events: {', '.join(done)}; {words(told)}")
    return {
        "real_vllm_minutes": figure(round(seconds / 60), "minutes"),
        "real_vllm_pages": figure(len(told.pages), "pages", 0),
        "real_vllm_warnings": figure(len(told.warnings), "warnings"),
    }


def words(told: Told) -> str:
    return f"minutes of pages {told.pages}, of warnings {told.warnings}, of notices {told.notices}"


def days(promtool: str, seeds: Sequence[str], jobs: int) -> Iterator[Told]:
    """In the order of the seeds."""

    def day(seed: str) -> Told:
        return evaluate(promtool, seed, series(seed, 0, courses(seed, 0, DAY)), DAY)

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(day, seeds)


def figure(value: int, unit: str, goal: int | None = None) -> dict[str, object]:
    """Alerts by day: one that fires on two days counts twice."""
    found = {"value": value, "median": value, "best": value, "unit": unit, "repetitions": 1}
    return found | ({} if goal is None else {"goal": goal}) | {"ok": goal is None or value <= goal}


if __name__ == "__main__":
    sys.exit(main())

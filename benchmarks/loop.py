"""How long the loop takes on a real vLLM: fault to alert, to actuator call, to verified, repeated.

Run from the checkout: python benchmarks/loop.py [--runs 5] [--scenario stall_idle ...] [--json FILE]
The baseline is the same fault with the same supervisord and no healer, measured in the same run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.harness import scenarios
from tests.e2e.harness.benchmark import add_port, make_parser, write_figures
from tests.e2e.harness.catalogue import CATALOGUE, Entry
from tests.e2e.harness.figures import Baseline, Figure, figures, table
from tests.e2e.harness.scenarios import Episode
from tests.e2e.harness.stack import Stack, run_directory, running_stack
from tests.e2e.harness.vllm_server import NO_SCRIPT, find_script
from tests.e2e.harness.waiting import TimedOutError

# A stalled server would be healed within 60 s, a dead one within 30 s plus vLLM's own start: what is not back after
# twice that does not come back by itself.
OBSERVED_SECONDS = 120.0


@dataclass
class Runs:
    """What was measured of one scenario."""

    entry: Entry
    episodes: list[Episode] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # in words; each is a run that was not healed in time
    baseline: Baseline | None = None


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    script = find_script()
    if script is None:
        print(NO_SCRIPT, file=sys.stderr)
        return 1
    run = run_directory()
    print(f"logs: {run}", flush=True)
    measured: list[Runs] = []
    with running_stack(run, arguments.port) as stack:
        for name in arguments.scenario:
            measured.append(measure(stack, CATALOGUE[name], arguments, script))
            write_figures(arguments.json, _figures(measured))  # after each: what breaks off later loses nothing
    found = _figures(measured)
    print(table([episode.timeline for runs in measured for episode in runs.episodes]))
    _report(found, [failure for runs in measured for failure in runs.failures])
    healed = not any(runs.failures for runs in measured)
    return 0 if healed and all(figure.ok for figure in found) else 1


def measure(stack: Stack, entry: Entry, arguments: argparse.Namespace, script: Path) -> Runs:
    """All runs of one scenario, and once the same fault without a healer."""
    runs = Runs(entry)
    for number in range(1, arguments.runs + 1):
        stack.ensure(entry.server(script, stack.port), entry.autorestart)
        try:
            episode = entry.run(stack)
        except TimedOutError as error:
            runs.failures.append(f"{entry.name}, run {number}: {error}")
            print(runs.failures[-1], flush=True)
            stack.relaunch()
            continue
        runs.episodes.append(episode)
        print(f"run {number}: {episode.timeline.words()}", flush=True)
    if arguments.baseline and entry.fault:
        runs.baseline = measure_baseline(stack, entry, script)
    return runs


def measure_baseline(stack: Stack, entry: Entry, script: Path) -> Baseline:
    """Seconds until the server completes a request again with supervisord alone, or that it did not."""
    assert entry.fault, f"{entry.name} has no fault that could be repeated without a healer"
    tree = stack.ensure(entry.server(script, stack.port), entry.autorestart)
    stack.healer.stop()
    try:
        back = scenarios.seconds_until_back(stack, tree, entry.fault, OBSERVED_SECONDS)
    finally:
        stack.supervisor.end_leftovers()  # stopped, so that the healer does not heal what was left on purpose
        stack.healer.start()
        stack.wait_parts()
    print(f"supervisord alone: {entry.name}: {'not back' if back is None else f'back after {back:.1f} s'}", flush=True)
    return Baseline(OBSERVED_SECONDS if back is None else back, recovered=back is not None)


def _figures(measured: Sequence[Runs]) -> list[Figure]:
    return figures({runs.entry.name: ([e.timeline for e in runs.episodes], runs.baseline) for runs in measured})


def _report(found: Sequence[Figure], failures: Sequence[str]) -> None:
    for figure in found:
        print(figure.words())
    for failure in failures:
        print(f"not healed: {failure}")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions of each scenario (default 5)")
    parser.add_argument("--scenario", nargs="+", choices=list(CATALOGUE), default=list(CATALOGUE), metavar="NAME",
                        help=f"which (default all): {', '.join(CATALOGUE)}")  # fmt: skip
    parser.add_argument("--no-baseline", dest="baseline", action="store_false", help="leave supervisord alone out")
    add_port(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())

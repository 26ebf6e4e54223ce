"""What the part inside costs a real vLLM: throughput, first tokens, CPU, and its share of the event loop.

Run from the checkout: python benchmarks/inside_server.py [--part inside|log_stats] [--json FILE]
Three servers run side by side (6 GB), each in turn under load; in all of them a plug-in of ours watches the loop.
Each difference is taken turn by turn; its interval holds the median with 95 %. `same_server` is what two servers differ
by that are started alike: what is not beyond its interval is not known.
"""

from __future__ import annotations

import os
import sys
import tempfile
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.inside import middleware
from tests.e2e.harness.benchmark import make_parser, write_figures
from tests.e2e.harness.figures import Figure
from tests.e2e.harness.paired import interval, more_percent, quantile
from tests.e2e.harness.side_by_side import TOKENS, Side, Turn, Variant, in_turn, side_by_side
from tests.e2e.harness.vllm_server import NO_SCRIPT, find_script

WATCHED_LOOP = Path(__file__).resolve().parents[1] / "tests/e2e/harness/watched_loop"
MIDDLEWARE, QUIET = ("--middleware", "vllm_monitor.Middleware"), ("--disable-log-stats",)
FOLDER = "WATCHED_LOOP_DIR"
ROUNDS, SECONDS = 12, 4.0  # of a turn each
MICRO, MILLI = 1e6, 1e3
# Goals of the project.
RECORD_MEDIAN, RECORD_P999, LAG, SHARE = 3.0, 30.0, 1.0, 0.5


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="only this; may be repeated")
    arguments = parser.parse_args(argv)
    script = find_script()
    if script is None:
        print(NO_SCRIPT, file=sys.stderr)
        return 2
    found: list[Figure] = []
    for part in arguments.part or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found += PARTS[part](script, Path(folder))
        write_figures(arguments.json, found)
    for figure in found:
        print(figure.words(), flush=True)
    return 0 if all(figure.ok for figure in found) else 1


def inside(script: Path, folder: Path) -> list[Figure]:
    """Returns what plug-in and middleware cost a server, and what two without differ by."""
    plain, same, ours = taken_in_turn(script, folder, (), (), MIDDLEWARE)
    return [
        *loop(plain[1], ours[1], median(one for turn in ours[0].turns for one in turn.whole)),
        *differences("same_server", same[0], plain[0]),
        *differences("inside", ours[0], plain[0], same[0]),
    ]


def log_stats(script: Path, folder: Path) -> list[Figure]:
    """Returns the cost of the plug-in under --disable-log-stats, where it switches vLLM's statistics on again."""
    plain, same, ours = taken_in_turn(script, folder, QUIET, QUIET, QUIET)
    return [
        *differences("without_log_stats_same_server", same[0], plain[0]),
        *differences("without_log_stats_inside", ours[0], plain[0], same[0]),
    ]


def taken_in_turn(script: Path, folder: Path, *arguments: tuple[str, ...]) -> list[tuple[Side, Watched]]:
    """Returns servers with these arguments after ROUNDS turns; only the last one has the part inside."""
    watched = [Watched(folder / f"watched{number}") for number in range(len(arguments))]
    variants = [
        Variant(each, each_watched is watched[-1], (WATCHED_LOOP,), {FOLDER: str(each_watched.folder)})
        for each, each_watched in zip(arguments, watched, strict=True)
    ]
    with side_by_side(script, folder, variants) as sides:
        for number in in_turn(len(sides), ROUNDS):
            watched[number].begin()
            sides[number].turn(SECONDS)
            watched[number].end()
    return list(zip(sides, watched, strict=True))


def differences(name: str, ours: Side, *theirs: Side) -> list[Figure]:
    """Returns by how many percent ours is slower, waits longer and takes more CPU than the mean of theirs."""

    def of(value: Callable[[Turn], float], side: Side) -> list[float]:
        return [value(turn) for turn in side.turns]

    def more(value: Callable[[Turn], float]) -> list[float]:
        means = [sum(each) / len(theirs) for each in zip(*(of(value, side) for side in theirs), strict=True)]
        return more_percent(of(value, ours), means)

    less = [-each for each in more(lambda turn: turn.throughput)]
    return [
        *interval(less).figures(f"{name}_throughput_less", "%"),
        *interval(more(lambda turn: turn.first_p99)).figures(f"{name}_first_token_p99_more", "%"),
        *interval(more(lambda turn: turn.cpu_a_request)).figures(f"{name}_cpu_more", "%"),
    ]


class Watched:
    """What the plug-in in tests/e2e/harness/watched_loop wrote while a server was under load. Seconds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.lags: list[float] = []  # at the 99th percentile of each turn
        self.record: list[float] = []
        self.empty: list[float] = []
        self.spans: list[tuple[float, float, float]] = []  # of each turn: seconds, steps, CPU of the other thread
        self._read = dict.fromkeys(("late", "record", "empty", "thread"), 0)

    def begin(self) -> None:
        """Forgets what was before this turn."""
        for name in self._read:
            self._new(name)

    def end(self) -> None:
        """Keeps what came in this turn."""
        self.lags.append(quantile(self._new("late"), 0.99))
        self.record += self._new("record")
        self.empty += self._new("empty")
        thread = self._new("thread")
        if thread:
            first, last = thread[:3], thread[-3:]
            self.spans.append((last[0] - first[0], last[1] - first[1], last[2] - first[2]))

    def _new(self, name: str) -> list[float]:
        values = array("d", (self.folder / name).read_bytes())
        new = values[self._read[name] :]
        self._read[name] = len(values)
        return list(new)


def loop(plain: Watched, ours: Watched, request: float) -> list[Figure]:
    """Returns what is seen of the event loop: record(), the lag that the other thread adds, and shares of the time.

    `request`: seconds of one at the median.
    """
    more = [(ours - theirs) * MILLI for ours, theirs in zip(ours.lags, plain.lags, strict=True)]
    return [
        *recording(ours.record, ours.empty),
        *interval(more).figures("server_loop_lag_p99_milliseconds_more", "ms", LAG),
        Figure("server_loop_lag_p99_milliseconds", "ms", (median(ours.lags) * MILLI,), None,
               median(plain.lags) * MILLI, "without it"),
        *shares(ours, request),
    ]  # fmt: skip


def recording(record: Sequence[float], empty: Sequence[float]) -> list[Figure]:
    """Returns what record() takes in a server's loop, the clock's own time included, beside an empty function."""
    return [
        Figure(f"server_record_{name}_microseconds", "µs", (quantile(record, share) * MICRO,), goal,
               quantile(empty, share) * MICRO, "an empty function")
        for name, share, goal in (("median", 0.5, RECORD_MEDIAN), ("p999", 0.999, RECORD_P999))
    ] + [Figure("server_steps_timed", "steps", (float(len(record)),))]  # fmt: skip


def shares(ours: Watched, request: float) -> list[Figure]:
    """Returns the cost of a step and of a request in percent of the time that each takes. `request`: seconds."""
    seconds, steps, thread = map(sum, zip(*ours.spans, strict=True))
    step = seconds / steps
    record = median(ours.record)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, VLLM_MONITOR_DIR=folder):
        asked, chunk = (median(figure.values) / MICRO for figure in middleware()[:2])
    return [
        Figure("server_step_milliseconds", "ms", (step * MILLI,)),
        Figure("server_request_milliseconds", "ms", (request * MILLI,)),
        Figure("server_other_thread_microseconds_a_step", "µs", (thread / steps * MICRO,)),
        Figure("server_record_percent_of_a_step", "%", (record / step * 100,), SHARE),
        Figure("server_all_threads_percent_of_a_step", "%", ((record + thread / steps) / step * 100,), SHARE),
        Figure("server_middleware_percent_of_a_request", "%", ((asked + chunk * TOKENS) / request * 100,), SHARE),
    ]


PARTS = {"inside": inside, "log_stats": log_stats}


if __name__ == "__main__":
    sys.exit(main())

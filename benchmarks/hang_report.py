"""How often hang-report names the state of a real vLLM rightly: each state entered and left again, repeated.

Run from the checkout: python benchmarks/hang_report.py [--runs 10] [--state NAME ...] [--json FILE]
The baseline is what /health says of the same server in the same moments: how many states it tells from a healthy one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.harness.benchmark import add_port, make_parser, write
from tests.e2e.harness.hangs import STATES, State, report_on, running_server
from tests.e2e.harness.vllm_server import NO_SCRIPT, VllmServer, find_script
from tests.e2e.harness.waiting import TimedOutError

GOAL = 0.9  # of the runs of each state


@dataclass
class Tally:
    """The runs of one state."""

    expected: str
    said: Counter[str] = field(default_factory=Counter)
    healthy: int = 0  # runs in which /health was 200
    seconds: list[float] = field(default_factory=list)

    @property
    def right(self) -> float:
        return self.said[self.expected] / self.said.total() if self.said else 0.0

    def words(self, name: str) -> str:
        others = ", ".join(f"{count} {cause}" for cause, count in self.said.items() if cause != self.expected)
        wrong = f" ({others})" if others else ""
        took = f"{min(self.seconds):.1f} to {max(self.seconds):.1f} s" if self.seconds else "-"
        return f"{name:<17} {self.said[self.expected]:>2} of {self.said.total()} named {self.expected}{wrong}, {took}"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    script = find_script()
    if script is None:
        print(NO_SCRIPT, file=sys.stderr)
        return 1
    tallies = {name: Tally(STATES[name].cause) for name in arguments.state}
    with tempfile.TemporaryDirectory() as folder, running_server(script, arguments.port, Path(folder)) as running:
        for number in range(1, arguments.runs + 1):
            for name, tally in tallies.items():
                _run(tally, STATES[name], *running)
            print(f"run {number} done", flush=True)
            write(arguments.json, _figures(tallies))  # after each: what breaks off later loses nothing
    for name, tally in tallies.items():
        print(tally.words(name))
    return int(any(tally.right < GOAL for tally in tallies.values()))


def _run(tally: Tally, state: State, server: VllmServer, pid: int) -> None:
    """One that the server did not come back from counts as wrong: the next run would begin in it."""
    started = time.monotonic()
    try:
        found = report_on(state, server, pid)
    except TimedOutError as error:
        tally.said[f"not measured: {error}"] += 1
        return
    tally.said[found["cause"]] += 1
    tally.healthy += found["seen"]["health"] == "ok"
    tally.seconds.append(time.monotonic() - started)


def _figures(tallies: Mapping[str, Tally]) -> dict[str, object]:
    return {f"hang_report_{name.replace(' ', '_')}_named_right": _figure(name, one) for name, one in tallies.items()}


def _figure(name: str, tally: Tally) -> dict[str, object]:
    """/health says `healthy` of all: that is right for those that do not hang."""
    does_not_hang = tally.expected in ("no_hang", "overload", "long_prefill")
    by_health = tally.healthy if does_not_hang else tally.said.total() - tally.healthy
    return {
        "value": round(tally.right, 2),
        "unit": "of the runs",
        "goal": GOAL,
        "baseline": round(by_health / max(1, tally.said.total()), 2),
        "baseline_name": "/health alone: hangs or not",
        "ok": tally.right >= GOAL,
        "repetitions": tally.said.total(),
        "said": dict(tally.said),
    }


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="repetitions of each state (default 10)")
    parser.add_argument("--state", nargs="+", choices=list(STATES), default=list(STATES), metavar="NAME",
                        help=f"which (default all): {', '.join(STATES)}")  # fmt: skip
    add_port(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())

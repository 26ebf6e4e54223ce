"""How long it takes until an alert fires for an engine or an API server that hangs, with the part inside vLLM.

Run from the checkout: python benchmarks/detection.py [--runs 5] [--part stuck_idle ...] [--json FILE]
From the fault to the alert that fires in Prometheus, with the project's rules, scrapes of 5 s and a warm-up of 10 s
instead of 300. The moment is chosen at random, so that scrapes and canaries are met at any phase. `quiet` counts false
alarms.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.harness.benchmark import make_parser, write
from tests.e2e.harness.detection import (
    FROZEN,
    GIVE_UP,
    LOOK_HUNG,
    PLAIN,
    SLOW,
    STALLED,
    TWO_ENGINES,
    Fault,
    Found,
    running_fleet,
)
from tests.e2e.harness.figures import Figure
from tests.e2e.harness.vllm_server import NO_SCRIPT, find_script

# Goals of the project, in seconds.
UNDER_LOAD, IDLE, ONE_OF_TWO, API_SERVER = 25.0, 40.0, 30.0, 30.0
QUIET_SECONDS = 150.0

STUCK = {0: Fault("stop", "EngineCore", STALLED), 1: Fault("spin", "EngineCore", STALLED),
         2: Fault("sleep", "EngineCore", STALLED)}  # fmt: skip
NAMES = ("stopped", "spinning", "sleeping")
SECOND_ENGINE = Fault("stop", "EngineCore", STALLED, "DP1")
STOPPED_API, HELD_API = Fault("stop", "APIServer", FROZEN, "0"), Fault("hold", "APIServer", FROZEN, "1")


@dataclass
class Series:
    """The runs of one figure."""

    goal: float | None
    unit: str = "s"
    values: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)  # of the machine, at each fault

    def add(self, name: str, found: Found) -> None:
        self.values.append(GIVE_UP if found.seconds is None else found.seconds)
        self.loads.append(found.load)
        print(f"{name}: {self.values[-1]:.1f} s, load {found.load:.1f}", flush=True)

    def as_json(self, name: str) -> dict[str, object]:
        figure = Figure(name, self.unit, tuple(self.values), self.goal)
        return {**figure.as_json(), "load_average": [round(load, 1) for load in self.loads]}


class Measured:
    """All figures so far; written after each round, so that what breaks off later loses nothing."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._series: dict[str, Series] = {}

    def add(self, name: str, goal: float | None, found: Found) -> None:
        self._series.setdefault(name, Series(goal)).add(name, found)
        self._write()

    def count(self, name: str, alarms: int, load: float) -> None:
        series = self._series.setdefault(name, Series(0.0, "false alarms"))
        series.values.append(float(alarms))
        series.loads.append(load)
        print(f"{name}: {alarms}", flush=True)
        self._write()

    @property
    def ok(self) -> bool:
        return all(one.goal is None or max(one.values) <= one.goal for one in self._series.values())

    def _write(self) -> None:
        write(self._file, {name: one.as_json(name) for name, one in self._series.items()})


def stuck_under_load(script: Path, folder: Path, runs: int, measured: Measured) -> None:
    """Engines hang that have requests: in three ways, and one of two behind two API servers."""
    with running_fleet(script, folder, [PLAIN] * 3 + [TWO_ENGINES]) as fleet:
        for _ in range(runs):
            fleet.settle()
            with fleet.under_load():
                _pause(5)
                found = fleet.measure({**STUCK, 3: SECOND_ENGINE})
            _add(measured, found, "under_load", UNDER_LOAD)
            measured.add("one_engine_of_two_under_load_to_alert_seconds", ONE_OF_TWO, found[3])


def stuck_idle(script: Path, folder: Path, runs: int, measured: Measured) -> None:
    """The same without requests: a canary has to find it. And one API server of two stops."""
    with running_fleet(script, folder, [PLAIN] * 3 + [TWO_ENGINES]) as fleet:
        for _ in range(runs):
            fleet.settle()
            _pause(10)
            found = fleet.measure({**STUCK, 3: STOPPED_API})
            _add(measured, found, "idle", IDLE)
            measured.add("one_api_server_of_two_stopped_to_alert_seconds", API_SERVER, found[3])


def api_server(script: Path, folder: Path, runs: int, measured: Measured) -> None:
    """In one API server of two a call into C keeps the interpreter's lock, under load."""
    with running_fleet(script, folder, [TWO_ENGINES]) as fleet:
        for _ in range(runs):
            fleet.settle()
            with fleet.under_load():
                _pause(5)
                found = fleet.measure({0: HELD_API})[0]
            measured.add("one_api_server_of_two_holds_the_lock_to_alert_seconds", API_SERVER, found)


def _add(measured: Measured, found: Mapping[int, Found], when: str, goal: float) -> None:
    for at, name in enumerate(NAMES):
        measured.add(f"engine_{name}_{when}_to_alert_seconds", goal, found[at])


def outside(script: Path, folder: Path, runs: int, measured: Measured) -> None:
    """Without the part inside: a single API server stops, or waits in a call into C that keeps the lock."""
    with running_fleet(script, folder, [PLAIN] * 2, inside=False) as fleet:
        for _ in range(runs):
            fleet.settle()
            found = fleet.measure({0: Fault("stop", "APIServer", FROZEN), 1: Fault("hold", "APIServer", FROZEN)})
            measured.add("api_server_stopped_seen_from_outside_to_alert_seconds", None, found[0])
            measured.add("api_server_holds_the_lock_seen_from_outside_to_alert_seconds", None, found[1])


def quiet(script: Path, folder: Path, runs: int, measured: Measured) -> None:
    """Servers that look hung and are not: a prefill of 15 steps of 3 s, such steps all the time, 200 requests wait."""
    with running_fleet(script, folder, list(LOOK_HUNG.values()), SLOW) as fleet:
        for _ in range(runs):
            fleet.settle()
            for name, alarms in fleet.false_alarms(QUIET_SECONDS).items():
                measured.count(f"{name}_false_alarms", alarms, os.getloadavg()[0])


PARTS: dict[str, Callable[[Path, Path, int, Measured], None]] = {
    one.__name__: one for one in (stuck_under_load, stuck_idle, api_server, outside, quiet)
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    script = find_script()
    if script is None:
        print(NO_SCRIPT, file=sys.stderr)
        return 1
    measured = Measured(arguments.json)
    for name in arguments.part:
        with tempfile.TemporaryDirectory(prefix="detection-", ignore_cleanup_errors=True) as folder:
            PARTS[name](script, Path(folder), arguments.runs, measured)
    return 0 if measured.ok else 1


def _pause(most: float) -> None:
    time.sleep(random.uniform(0, most))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="repetitions of each fault (default 5)")
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="NAME",
                        help=f"which (default all): {', '.join(PARTS)}")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""How light the simulator is, and how close to a real vLLM.

Run from the checkout: python benchmarks/simulator.py [--part fleet fidelity] [--json FILE]
fleet: CPU and memory of 100 servers under load, scraped every 5 s. fidelity: the same load on a real vLLM on the CPU
and on a simulator that was calibrated by one short run; skipped with the reason where there is no real vLLM.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.harness.benchmark import add_port, make_parser, write_figures
from tests.e2e.harness.figures import Figure
from tests.e2e.harness.vllm_server import NO_SCRIPT, find_script
from tests.simulator.bench import fidelity, light

PARTS = ("fleet", "fidelity")


@dataclass(frozen=True)
class Skipped:
    """A part that could not be run here."""

    part: str
    why: str


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    found: list[Figure] = []
    if "fleet" in arguments.part:
        found += light.measure(arguments.servers, arguments.seconds)
    if "fidelity" in arguments.part:
        outcome = _fidelity(arguments)
        if isinstance(outcome, Skipped):
            print(f"{outcome.part}: skipped: {outcome.why}", file=sys.stderr)
        else:
            found += outcome
    for figure in found:
        print(figure.words())
    write_figures(arguments.json, found)
    return 0 if all(figure.ok for figure in found) else 1


def _fidelity(arguments: argparse.Namespace) -> list[Figure] | Skipped:
    script = find_script()
    if script is None:
        return Skipped("fidelity", NO_SCRIPT)
    return fidelity.measure(script, arguments.port, arguments.rate, arguments.seconds, arguments.runs)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="which (default both)")
    parser.add_argument("--servers", type=int, default=100, metavar="N", help="of the fleet (default 100)")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of each load (default 30)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="loads of fidelity (default 3)")
    parser.add_argument("--rate", type=float, default=4.0, metavar="R", help="requests a second (default 4)")
    add_port(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""What the exporter costs: CPU, memory and latency, beside node_exporter and nvitop-exporter.

Run from the checkout: python benchmarks/exporter.py [--part running logs hung churn] [--json FILE]
running: the exporter and those it is compared with, scraped at the same time, with a simulated vLLM server. logs: a log
that grows by 20,000 lines a second. hung: scrapes while a collector hangs. churn: series while processes come and go.
GPUs are a stand-in for NVML in C: what the driver itself takes comes on top.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.harness.benchmark import make_parser, write_figures
from tests.e2e.harness.figures import Figure
from tests.exporter.bench import churn, hung, logs, programs, running

PARTS = ("running", "logs", "hung", "churn")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        for measure in _chosen(arguments, Path(name)):
            figures = measure()
            found += figures
            for figure in figures:
                print(words(figure), flush=True)
            write_figures(arguments.json, found)  # after each part: what breaks off later loses nothing
    return 0 if all(figure.ok for figure in found) else 1


def _chosen(arguments: argparse.Namespace, directory: Path) -> list[Callable[[], list[Figure]]]:
    env = programs.stub_environment(directory)
    parts: dict[str, Callable[[], list[Figure]]] = {
        "running": lambda: running.measure(directory, env, arguments.windows, arguments.seconds),
        "logs": lambda: logs.measure(directory, env),
        "hung": lambda: hung.measure(directory),
        "churn": lambda: churn.measure(directory),
    }
    return [parts[part] for part in arguments.part]


def words(figure: Figure) -> str:
    """One line, to the hundredth: a share of a core is small."""
    shown = figure.as_json()
    goal = "" if figure.goal is None else f", goal {figure.goal:g}: {'met' if figure.ok else 'MISSED'}"
    against = "" if figure.baseline is None else f"; {figure.baseline_name}: {shown['baseline']} {figure.unit}"
    spread = f"median {shown['median']}, best {shown['best']}, {shown['repetitions']} runs"
    return f"{figure.name}: worst {shown['value']} {figure.unit}, {spread}{goal}{against}"


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="which (default all)")
    parser.add_argument("--windows", type=int, default=3, metavar="N", help="of CPU and latency (default 3)")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of a window of CPU (default 30)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

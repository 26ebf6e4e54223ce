"""What the command lines of the benchmarks share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.e2e.harness.figures import Figure
from tests.e2e.harness.vllm_server import PORT, chosen_port


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """With the first line of the benchmark's docstring, and with --json."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else "")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    return parser


def add_port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=chosen_port(), help=f"of the real vLLM (default {PORT})")


def write_figures(file: Path | None, found: Iterable[Figure]) -> None:
    """Each with its repetitions, its goal and its baseline."""
    write(file, {figure.name: figure.as_json() for figure in found})


def write(file: Path | None, figures: Mapping[str, object]) -> None:
    """By name, in the form that scripts/benchmarks_page.py keeps. No file: nothing is written."""
    if file:
        file.write_text(json.dumps(figures, indent=2) + "\n")

"""Figures of one round of the collectors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.e2e.harness.figures import Figure
from tests.exporter.bench.programs import CHECKOUT

HOT_GOAL, COLD_GOAL = 100.0, 350.0  # microseconds


def measure(env: Mapping[str, str], hot: int, cold: int) -> list[Figure]:
    """`hot` repetitions of some hundred rounds in a loop, `cold` ones of some rounds a second apart."""
    return [
        Figure("cycle_hot_microseconds", "µs", _run("hot", hot, env), HOT_GOAL),
        Figure("cycle_cold_microseconds", "µs", _run("cold", cold, env), COLD_GOAL),
        Figure("cycle_with_all_slow_readings_microseconds", "µs", _run("slow", hot, env)),
    ]


def _run(how: str, repetitions: int, env: Mapping[str, str]) -> tuple[float, ...]:
    words = [sys.executable, "-m", "tests.exporter.bench.cycle", how, str(repetitions)]
    done = subprocess.run(words, cwd=CHECKOUT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    return tuple(float(line) for line in done.stdout.split())

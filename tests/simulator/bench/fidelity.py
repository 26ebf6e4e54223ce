"""The same load on a real vLLM and on the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from deploy.simulator.load.client import Endpoint, Timing, Wish, complete
from deploy.simulator.load.plan import LoadOptions
from deploy.simulator.load.run import Report, run_load
from tests.e2e.harness.figures import Figure
from tests.e2e.harness.vllm_server import VllmServer
from tests.simulator import harness
from tests.simulator.bench.exposition import Exposition, falling, moving, parse

FACTOR = 2.0  # median latencies after calibration

# The tiny model's server, as the script starts it; the simulator gets the same sizes.
SIZES = ("--served-model-name", "tiny", "--max-model-len", "1024", "--block-size", "128", "--num-gpu-blocks", "8192",
         "--max-num-seqs", "128", "--max-num-batched-tokens", "2048")  # fmt: skip

BATCH = 16  # requests decoded together in the calibration
LONG = 900  # tokens of its long prompt


@dataclass(frozen=True)
class Point:
    """A step with so many tokens took so long."""

    tokens: int
    seconds: float


@dataclass(frozen=True)
class Calibration:
    """Steps, and the seconds that a request takes besides them."""

    points: tuple[Point, ...]
    request: float


@dataclass(frozen=True)
class Run:
    report: Report
    readings: list[Exposition]


def measure(script: Path, port: int, rate: float, seconds: float, runs: int) -> list[Figure]:
    """Real first, for it is what the simulator is calibrated by; then each run's load on one after the other."""
    loads = [
        LoadOptions(rate, seconds, output_tokens=48, longest=500, token_ids=True, timeout=120.0, seed=seed)
        for seed in range(runs)
    ]
    with tempfile.TemporaryDirectory() as directory:
        with _real(script, port, Path(directory)):
            measured = calibration(port)
            real = [_run(port, options) for options in loads]
        base, per_token = calibrate(measured.points)
        ours = (
            f"{measured.request * 1000:.2f} ms a request, {base * 1000:.2f} ms a step, {per_token * 1e6:.1f} us a token"
        )
        print(f"calibrated: {ours}")
        times = ("--step-base", f"{base:.6f}", "--step-per-token", f"{per_token:.8f}",
                 "--request-seconds", f"{measured.request:.6f}")  # fmt: skip
        with harness.serving(Path(directory), "--speed", "1", *SIZES, *times) as server:
            simulated = [_run(server.port, options) for options in loads]
    pairs = list(zip(real, simulated, strict=True))
    return merge([[*compare_readings(a.readings, b.readings), *compare_times(a.report, b.report)] for a, b in pairs])


def merge(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """The same figures of several runs as one list with repetitions."""
    return [replace(each[0], values=tuple(one.values[0] for one in each)) for each in zip(*runs, strict=True)]


def calibration(port: int) -> Calibration:
    """One short run: a request alone, a batch, a long prompt."""
    target = Endpoint("127.0.0.1", port, "tiny")
    asyncio.run(complete(target, Wish((5, 6, 7), 8), 60.0))  # warm
    alone = [asyncio.run(complete(target, _wish(8, 64, number), 60.0)) for number in range(4)]
    batch = asyncio.run(_together(target))
    long = [asyncio.run(complete(target, _wish(LONG, 1, number), 60.0)) for number in range(4)]
    gap = _seen("gap", alone)
    request = max(0.0, _seen("first", alone) - gap)  # its first token is a step like those after it
    points = (Point(1, gap), Point(BATCH, _seen("gap", batch)), Point(LONG, max(gap, _seen("first", long) - request)))
    return Calibration(points, request)


def _seen(field: str, timings: list[Timing]) -> float:
    """The median of what was measured."""
    values = [float(value) for timing in timings if (value := getattr(timing, field))]
    if not values:
        raise RuntimeError(f"calibration: the server answered {[timing.outcome for timing in timings]}")
    return median(values)


def calibrate(points: Sequence[Point]) -> tuple[float, float]:
    """Least squares of the relative errors of base + per_token x tokens; neither is below 0."""
    rows = [(1 / point.seconds, point.tokens / point.seconds) for point in points]
    aa, ab, bb = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = sum(row[0] for row in rows), sum(row[1] for row in rows)
    determinant = aa * bb - ab * ab
    base, per_token = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    return max(base, 1e-4), max(per_token, 0.0)


def compare_readings(real: list[Exposition], simulated: list[Exposition]) -> list[Figure]:
    """How many families, label sets and directions differ."""
    families = real[-1].families ^ simulated[-1].families
    label_sets = real[-1].label_sets ^ simulated[-1].label_sets
    down = falling(real) + falling(simulated)
    differently = moving(real) ^ moving(simulated)
    found = {"families": families, "label_sets": label_sets, "falling_counters": down, "counters_moving": differently}
    for name, difference in found.items():
        for one in sorted(map(str, difference))[:5]:
            print(f"{name} differ: {one}")
    return [Figure(f"fidelity_{name}_different", "series", (float(len(difference)),), 0.0)
            for name, difference in found.items()]  # fmt: skip


def compare_times(real: Report, simulated: Report) -> list[Figure]:
    """By which factor the medians differ, whichever is larger."""
    theirs, ours = real.medians, simulated.medians
    print(f"real: {real.words()}\nsimulated: {simulated.words()}")
    return [Figure(f"fidelity_{name}_factor", "x", (max(ours[name] / seconds, seconds / ours[name]),), FACTOR)
            for name, seconds in theirs.items() if name in ours]  # fmt: skip


def _run(port: int, options: LoadOptions) -> Run:
    """Read before, in the middle and after, through the whole of it."""
    return asyncio.run(_run_and_read(port, options))


async def _run_and_read(port: int, options: LoadOptions) -> Run:
    readings = [await _reading(port)]
    load = asyncio.create_task(run_load([Endpoint("127.0.0.1", port, "tiny")], options))
    while not load.done():
        await asyncio.wait([load], timeout=2.0)
        readings.append(await _reading(port))
    return Run(load.result(), readings)


async def _reading(port: int) -> Exposition:
    return parse((await asyncio.to_thread(harness.request, port, "GET", "/metrics"))[1])


async def _together(target: Endpoint) -> list[Timing]:
    return await asyncio.gather(*(complete(target, _wish(8, 64, 50 + number), 60.0) for number in range(BATCH)))


def _wish(tokens: int, answer: int, number: int) -> Wish:
    """Unlike any other, so that no prefix cache shortens it."""
    return Wish(tuple(10 + (number * 31 + index * 7) % 900 for index in range(tokens)), answer)


@contextlib.contextmanager
def _real(script: Path, port: int, directory: Path) -> Iterator[VllmServer]:
    server = VllmServer(script, port)
    with (directory / "vllm.log").open("w") as log:
        process = subprocess.Popen(["/bin/bash", str(script), "serve"], stdout=log, stderr=log,
                                   env={**_environment(), "PORT": str(port)})  # fmt: skip
        try:
            server.wait_ready()
            yield server
        finally:
            for pid in reversed(harness.tree(process.pid)):
                harness.kill(pid, signal.SIGKILL)
            process.wait(10)
            time.sleep(0.5)


def _environment() -> dict[str, str]:
    return {**os.environ, "HOST": "127.0.0.1"}

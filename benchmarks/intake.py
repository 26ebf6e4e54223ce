"""How soon and how much the healer acknowledges: latency, alerts a second, a burst, a slow disk, while it prunes.

Run from the checkout: python benchmarks/intake.py [--runs 3] [--seconds 30] [--json FILE]
A baseline is one fdatasync of this disk, measured in the same run. Nothing counts as acknowledged that is not in the
journal's file after the healer was killed. Slow disks and the trace need strace.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.harness.benchmark import make_parser, write_figures
from tests.e2e.harness.figures import Figure
from tests.healer import stage
from tests.healer.bench import load, service
from tests.healer.bench.trace import unsynced

RATE = 200.0  # requests a second, of one alert each
LATENCY_MS = 20.0  # goal at the 99th percentile, beside twice the disk's fsync
SUSTAINED_SECONDS, SUSTAINED_RATE = 60.0, 1000.0  # goal, in alerts a second
PER_REQUEST = 20
BURST = 10_000
CONNECTIONS = 16  # as many as a busy Alertmanager has
MEMORY_MIB = 256.0  # goal: half of what its container may have
STORM_SECONDS, REST_SECONDS = 10.0, 10.0
INJECTED = 0.010  # seconds
OLD_ALERTS = 200_000  # more than go in the time
TRACED = 200


@dataclass
class Measured:
    """All runs: values by figure, and what must be true of every one of them."""

    values: dict[str, list[float]] = field(default_factory=dict)
    lost: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    disks: list[service.Disk] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)
        print(f"{name}: {value:.2f}", flush=True)

    @property
    def fsync_ms(self) -> float:
        """The slowest median of the runs."""
        return max(disk.median for disk in self.disks) * 1000


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    measured = Measured()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        for part in parts(Bench(Path(name), measured), arguments.runs, arguments.seconds):
            part()
            write_figures(arguments.json, figures(measured))  # after each: what breaks off later loses nothing
    found = list(figures(measured))
    for figure in found:
        print(figure.words())
    return 0 if all(figure.ok for figure in found) else 1


def parts(bench: Bench, runs: int, seconds: float) -> Iterator[Callable[[], None]]:
    for _ in range(runs):
        yield lambda: bench.burst("intake")
        yield lambda: bench.one_alert("intake", seconds)
    yield lambda: bench.sustained("intake")
    yield lambda: bench.while_pruning(seconds)
    if why_not := service.can_trace():
        print(f"without a slow disk and without a trace: {why_not}", file=sys.stderr)
        return
    yield bench.trace
    bench.around = service.slow_disk(INJECTED)
    yield lambda: bench.burst("intake_slow_disk")
    yield lambda: bench.sustained("intake_slow_disk")
    yield lambda: bench.one_alert("intake_slow_disk", seconds)


class Bench:
    """Runs loads, each on a healer of its own."""

    def __init__(self, folder: Path, measured: Measured) -> None:
        self._folder = folder
        self._measured = measured
        self._number = 0
        self.around: tuple[str, ...] = ()

    def one_alert(self, name: str, seconds: float) -> None:
        """At first all 200 servers fail at once: 200 incidents begin. Then come more alerts of each."""
        with self._healer() as healer:
            first = self._send(healer, load.firing(BURST, 1, "first"), CONNECTIONS, STORM_SECONDS, RATE)
            time.sleep(REST_SECONDS)
            then = self._send(healer, load.firing(BURST, 1, "then"), CONNECTIONS, seconds, RATE)
        self._latency(f"{name}_while_200_incidents_begin", healer, first)
        self._latency(name, healer, then)

    def sustained(self, name: str) -> None:
        with self._healer() as healer:
            alerts = load.coming_and_going(PER_REQUEST, "s")
            sent = self._send(healer, alerts, CONNECTIONS, SUSTAINED_SECONDS)
        self._check(healer, sent)
        self._measured.add(f"{name}_sustained_alerts_per_second", len(sent.acknowledged) / sent.took)

    def burst(self, name: str) -> None:
        with self._healer() as healer:
            sent = self._send(healer, load.firing(BURST, PER_REQUEST, "b"), 2 * CONNECTIONS, SUSTAINED_SECONDS)
        self._check(healer, sent)
        self._measured.add(f"{name}_burst_of_{BURST}_seconds", sent.took)

    def while_pruning(self, seconds: float) -> None:
        with self._healer(old_alerts=OLD_ALERTS) as healer:
            self._send(healer, load.firing(len(load.SERVERS), 1, "first"), CONNECTIONS, STORM_SECONDS, RATE)
            time.sleep(REST_SECONDS)
            before = service.old_alerts_left(healer)
            sent = self._send(healer, load.firing(BURST, 1, "then"), CONNECTIONS, seconds, RATE)
            pruned = before - service.old_alerts_left(healer)
        self._latency("intake_while_pruning", healer, sent)
        self._measured.add("intake_rows_pruned_per_second", pruned / sent.took)

    def trace(self) -> None:
        """One request after the other, so that each answer has a sync of its own."""
        file = self._folder / "trace"
        self.around = service.traced(file)
        with self._healer() as healer:
            sent = load.send(healer.port, stage.TOKEN, load.firing(TRACED, 1, "t"), 1, SUSTAINED_SECONDS, 0)
        names = [fingerprint for fingerprint, _ in sent.acknowledged]
        assert len(names) == TRACED, f"only {len(names)} of {TRACED} were sent in time"
        self._measured.add("intake_answers_before_the_sync", len(unsynced(file.read_text(), names)))

    @contextmanager
    def _healer(self, old_alerts: int = 0) -> Iterator[stage.Healer]:
        self._number += 1
        self._measured.disks.append(service.measure_disk(self._folder))
        with service.running(self._folder / str(self._number), self.around, old_alerts) as healer:
            yield healer

    def _send(
        self, healer: stage.Healer, requests: Iterator[load.Request], connections: int, seconds: float, rate: float = 0
    ) -> load.Outcome:
        sent = load.send(healer.port, stage.TOKEN, requests, connections, seconds, rate)
        self._measured.memory.append(service.peak_mebibytes(healer))
        return sent

    def _latency(self, name: str, healer: stage.Healer, sent: load.Outcome) -> None:
        self._check(healer, sent)
        self._measured.add(f"{name}_p50_milliseconds", load.percentile(sent.seconds, 0.5) * 1000)
        self._measured.add(f"{name}_p99_milliseconds", load.percentile(sent.seconds, 0.99) * 1000)

    def _check(self, healer: stage.Healer, sent: load.Outcome) -> None:
        assert not sent.left_out, f"{sent.left_out} alerts were left out: the load is not what it should be"
        self._measured.lost.append(service.lost(healer, sent.acknowledged))


def figures(measured: Measured) -> Iterator[Figure]:
    fsync = measured.fsync_ms
    goals: dict[str, Callable[[], tuple[str, float | None, bool]]] = {
        "_begin_p99_milliseconds": lambda: ("ms", None, False),
        "_p99_milliseconds": lambda: ("ms", LATENCY_MS + 2 * fsync, False),
        "_sustained_alerts_per_second": lambda: ("alerts/s", SUSTAINED_RATE, True),
        "_before_the_sync": lambda: (f"of {TRACED} answers", 0.0, False),
    }
    for name, values in measured.values.items():
        unit, goal, at_least = next(
            (make() for end, make in goals.items() if name.endswith(end)), (_unit(name), None, False)
        )
        slower = INJECTED * 1000 if "slow_disk" in name and unit == "ms" else 0.0
        yield Figure(
            name,
            unit,
            tuple(values),
            goal=None if goal is None else goal + 2 * slower,
            baseline=fsync + slower if unit == "ms" else None,
            baseline_name="one fsync" if unit == "ms" else "",
            at_least=at_least,
        )
    yield Figure("intake_acknowledged_and_lost", "alerts", tuple(measured.lost), goal=0.0)
    yield Figure("intake_peak_memory_mebibytes", "MiB", tuple(measured.memory), goal=MEMORY_MIB)


def _unit(name: str) -> str:
    return {"milliseconds": "ms", "seconds": "s", "second": "rows/s"}.get(name.rpartition("_")[2], "")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--runs", type=int, default=3, metavar="N", help="of one alert a request and of the burst (default 3)"
    )
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of one alert a request (default 30)")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="on the disk to measure (default: that of temporary files)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

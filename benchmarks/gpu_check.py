"""Do the exporter's GPU families say what nvidia-smi says? For a machine with a GPU; without one it says so.

Run from the checkout: python benchmarks/gpu_check.py [--json FILE]
Exit status: 0 all that can be compared agrees, 1 something differs, 2 no GPU here. What moves while it is read (use,
power, clocks, temperatures) may differ a little; for families that nvidia-smi has no word for, values are shown, and
ratios must lie between 0 and 1. What agrees is no longer "stand-in only": STAND_IN_ONLY in subjects/gpu/families.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "exporter"))

from vllm_exporter.clock import SystemClock
from vllm_exporter.errors import NoData
from vllm_exporter.metrics.family import Row as Sampled
from vllm_exporter.subjects.gpu.choice import open_source
from vllm_exporter.subjects.gpu.source import GpuSnapshot, GpuSource
from vllm_exporter.subjects.gpu.xids import XidLedger

MIB = 1 << 20
RUNS = 30  # of which the cost is the mean

Key = tuple[str, ...]  # family without vllm_gpu_, gpu id, other labels


@dataclass(frozen=True)
class Word:
    """What nvidia-smi calls a family: `factor` of its unit is ours, and how far apart two readings may be."""

    family: str
    labels: tuple[str, ...]
    query: str  # of --query-gpu
    factor: float = 1
    apart: float = 0  # in our unit, besides
    relative: float = 0


WORDS = (
    Word("utilization_percent", (), "utilization.gpu", apart=30),
    Word("memory_busy_ratio", (), "utilization.memory", 0.01, apart=0.3),
    Word("memory_total_bytes", (), "memory.total", MIB, apart=MIB),
    Word("memory_used_bytes", (), "memory.used", MIB, apart=64 * MIB),
    Word("memory_reserved_bytes", (), "memory.reserved", MIB, apart=MIB),
    Word("temperature_celsius", ("gpu",), "temperature.gpu", apart=3),
    Word("temperature_celsius", ("memory",), "temperature.memory", apart=3),
    Word("temperature_margin_celsius", (), "temperature.gpu.tlimit", apart=3),
    Word("power_watts", (), "power.draw.average", apart=15, relative=0.15),
    Word("power_instant_watts", (), "power.draw.instant", apart=30, relative=0.3),
    Word("power_limit_watts", (), "enforced.power.limit", apart=0.01),
    Word("power_limit_default_watts", (), "power.default_limit", apart=0.01),
    Word("clock_hertz", ("sm",), "clocks.current.sm", 1e6, relative=0.2),
    Word("clock_hertz", ("memory",), "clocks.current.memory", 1e6, relative=0.2),
    Word("clock_max_hertz", ("sm",), "clocks.max.sm", 1e6),
    Word("clock_max_hertz", ("memory",), "clocks.max.memory", 1e6),
    Word("performance_state", (), "pstate"),
    Word("throttle_active", ("idle",), "clocks_event_reasons.gpu_idle"),
    Word("throttle_active", ("application_clocks",), "clocks_event_reasons.applications_clocks_setting"),
    Word("throttle_active", ("sw_power_cap",), "clocks_event_reasons.sw_power_cap"),
    Word("throttle_active", ("hw_slowdown",), "clocks_event_reasons.hw_slowdown"),
    Word("throttle_active", ("sync_boost",), "clocks_event_reasons.sync_boost"),
    Word("throttle_active", ("sw_thermal",), "clocks_event_reasons.sw_thermal_slowdown"),
    Word("throttle_active", ("hw_thermal",), "clocks_event_reasons.hw_thermal_slowdown"),
    Word("throttle_active", ("hw_power_brake",), "clocks_event_reasons.hw_power_brake_slowdown"),
    Word("throttle_seconds_total", ("power",), "clocks_event_reasons_counters.sw_power_cap", 1e-6, apart=1),
    Word("throttle_seconds_total", ("sync_boost",), "clocks_event_reasons_counters.sync_boost", 1e-6, apart=1),
    Word("throttle_seconds_total", ("sw_thermal",), "clocks_event_reasons_counters.sw_thermal_slowdown", 1e-6, apart=1),
    Word("throttle_seconds_total", ("hw_thermal",), "clocks_event_reasons_counters.hw_thermal_slowdown", 1e-6, apart=1),
    Word("throttle_seconds_total", ("hw_power_brake",), "clocks_event_reasons_counters.hw_power_brake", 1e-6, apart=1),
    Word("pcie_link_generation", (), "pcie.link.gen.gpucurrent"),
    Word("pcie_link_generation_max", (), "pcie.link.gen.max"),
    Word("pcie_link_lanes", (), "pcie.link.width.current"),
    Word("pcie_link_lanes_max", (), "pcie.link.width.max"),
    Word("persistence_mode", (), "persistence_mode"),
    Word("mig_enabled", (), "mig.mode.current"),
    Word("ecc_enabled", (), "ecc.mode.current"),
    Word("ecc_errors_total", ("corrected", "volatile"), "ecc.errors.corrected.volatile.total"),
    Word("ecc_errors_total", ("uncorrected", "volatile"), "ecc.errors.uncorrected.volatile.total"),
    Word("ecc_errors_total", ("corrected", "aggregate"), "ecc.errors.corrected.aggregate.total"),
    Word("ecc_errors_total", ("uncorrected", "aggregate"), "ecc.errors.uncorrected.aggregate.total"),
    Word("retired_pages", ("single_bit",), "retired_pages.single_bit_ecc.count"),
    Word("retired_pages", ("double_bit",), "retired_pages.double_bit.count"),
    Word("retired_pages_pending", (), "retired_pages.pending"),
)
ROWS = (  # of --query-remapped-rows
    Word("remapped_rows", ("corrected",), "remapped_rows.correctable"),
    Word("remapped_rows", ("uncorrected",), "remapped_rows.uncorrectable"),
    Word("row_remap_pending", (), "remapped_rows.pending"),
    Word("row_remap_failed", (), "remapped_rows.failure"),
)
YES, NO = ("active", "enabled", "yes"), ("not active", "disabled", "no")


Answers = Mapping[tuple[Word, str], float | None]  # by word and GPU


@dataclass(frozen=True)
class Row:
    """One series. `verdict` is same, differs, only ours, only theirs, or implausible."""

    series: str
    ours: float | None
    theirs: float | None
    verdict: str


def parse_answer(text: str) -> float | None:
    """'85 %', '81559 MiB', 'P0', 'Not Active'; None for '[N/A]' and the like."""
    words = text.strip().lower()
    if words in YES:
        return 1.0
    if words in NO:
        return 0.0
    number = words.split()[0].removeprefix("p") if words else ""
    try:
        return float(number)
    except ValueError:
        return None


def compare(ours: Mapping[Key, float], theirs: Answers) -> Iterator[Row]:
    """All series that either has, those that nvidia-smi has a word for first."""
    seen: set[Key] = set()
    for (word, gpu_id), answer in theirs.items():
        key = (word.family, gpu_id, *word.labels)
        mine, other = ours.get(key), None if answer is None else answer * word.factor
        seen.add(key)
        if mine is not None or other is not None:
            yield Row(" ".join(key), mine, other, judge(word, mine, other))
    for key, mine in ours.items():
        if key not in seen:
            implausible = key[0].endswith("_ratio") and not 0 <= mine <= 1
            yield Row(" ".join(key), mine, None, "implausible" if implausible else "only ours")


def judge(word: Word, ours: float | None, theirs: float | None) -> str:
    if ours is None:
        return "only theirs"
    if theirs is None:
        return "only ours"
    room = word.apart + word.relative * max(abs(ours), abs(theirs)) + 1e-9 * abs(theirs)
    return "same" if abs(ours - theirs) <= room else "differs"


def ask_smi(kind: str, words: Sequence[Word]) -> Answers:
    """One run a word: nvidia-smi refuses a whole query for one word that its release does not know."""
    found: dict[tuple[Word, str], float | None] = {}
    for word in words:
        first = "index" if kind == "gpu" else "gpu_uuid"
        arguments = ["nvidia-smi", f"--query-{kind}={first},{word.query}", "--format=csv,noheader,nounits"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
        for line in done.stdout.splitlines() if done.returncode == 0 else []:
            gpu, _, answer = line.partition(",")
            found[word, gpu.strip()] = parse_answer(answer)
    return found


def flatten(*readings: Iterable[Sampled]) -> dict[Key, float]:
    """Of families that are numbers: no info."""
    return {
        (family.name.removeprefix("vllm_gpu_"), *values): number
        for rows in readings
        for (family, values), number in rows
        if family.name != "vllm_gpu_info"
    }


def read(source: GpuSource) -> GpuSnapshot:
    """The second reading: GPM needs two samples. Raises NoData."""
    source.read()
    time.sleep(0.5)
    source.read()
    if source.snapshot is None:
        raise NoData(source.closed_because)
    return source.snapshot


def measure(source: GpuSource) -> tuple[float, float]:
    """CPU and wall seconds of a fast reading, with the driver's own time."""
    cpu, wall = [], []
    for _ in range(RUNS):
        time.sleep(0.15)
        before = time.process_time(), time.perf_counter()
        source.read()
        cpu.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
    return sorted(cpu)[RUNS // 2], sorted(wall)[RUNS // 2]


def by_index(answers: Answers, snapshot: GpuSnapshot) -> Answers:
    """With GPU ids in place of the uuids."""
    ids = {card.uuid: card.gpu_id for card in snapshot.cards}
    return {(word, ids.get(uuid, uuid)): answer for (word, uuid), answer in answers.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the exporter's GPU families with nvidia-smi's answers.")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args(arguments)
    clock = SystemClock()
    try:
        source = open_source(clock, XidLedger(clock, lambda gpu_id, code, kind: None), "libnvidia-ml.so.1", gpm=True)
        snapshot = read(source)
    except NoData as nothing:
        print(f"no GPU here: {nothing}. Nothing was compared.", file=sys.stderr)
        return 2
    if shutil.which("nvidia-smi") is None:
        print("no nvidia-smi here: there is nothing to compare with.", file=sys.stderr)
        return 2
    theirs = {**ask_smi("gpu", WORDS), **by_index(ask_smi("remapped-rows", ROWS), snapshot)}
    source.read()
    rows = list(compare(flatten((source.snapshot or snapshot).fast, snapshot.slow), theirs))
    for row in rows:
        print(f"{row.verdict:<12} {row.series:<60} {row.ours!s:>24} {row.theirs!s:>24}")
    cpu, wall = measure(source)
    print(f"\n{len(snapshot.cards)} GPUs: a fast reading takes {cpu * 1e6:.0f} µs of CPU, {wall * 1e3:.2f} ms in all")
    for (function, code), count in sorted(source.failures.counts.items()):
        print(f"{function}: {code} {count}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    source.close()
    wrong = [row for row in rows if row.verdict in ("differs", "implausible")]
    print(f"{len(rows)} series: {len(wrong)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

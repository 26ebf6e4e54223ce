"""The exporter as it runs: CPU, scrape latency, memory; beside node_exporter and nvitop-exporter at the same time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

from tests.e2e.harness.figures import Figure
from tests.exporter.bench import programs
from tests.exporter.bench.programs import Program, Scraper
from tests.simulator import harness

SETTLE = 70.0  # seconds after the start that do not count: start-up is expensive, and all processes are young at first
CPU_GOALS = {1.0: 0.5, 5.0: 0.2}  # % of a core, by the seconds between two gzip scrapes
SHARE_GOAL = 0.5  # of what node_exporter takes at the same time, with a scrape a second
P50_GOAL, P99_GOAL = 1.0, 5.0  # milliseconds
RSS_GOAL, GROWTH_GOAL = 36.0, 0.0  # MiB, KiB
SCRAPES = 10_000
WARM_UP = 1_000  # scrapes before memory is first looked at
OTHERS_SCRAPES = 500  # of those it is compared with, which take 50 times as long
INTERVAL = "vllm_exporter_interval_seconds"  # more than configured while it takes too much CPU
SPENT = "vllm_exporter_collector_cpu_seconds_total"
PAUSE = 0.02  # seconds between two scrapes of a latency run: collectors run in between


def measure(directory: Path, env: Mapping[str, str], windows: int, seconds: float) -> list[Figure]:
    """Latency, then CPU over `windows` of `seconds` each, then memory."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(harness.serving(directory))
        own = stack.enter_context(programs.exporter(directory, server.port, env))
        node = stack.enter_context(programs.node_exporter(directory))
        time.sleep(SETTLE)
        found = latency_figures(own, node, windows)
        nvitop = stack.enter_context(programs.nvitop_exporter(directory, env))
        all_of_them = [one for one in (own, node, nvitop) if one]
        configured, spent, began = told(own, INTERVAL), told(own, SPENT), time.monotonic()
        for pause in CPU_GOALS:
            found += cpu_figures(pause, cpu_percent(all_of_them, pause, windows, seconds))
        found += collector_figures(spent, told(own, SPENT), time.monotonic() - began)
        longer = sum(now > configured[name] for name, now in told(own, INTERVAL).items())
        found.append(Figure("intervals_lengthened_by_the_budget", "collectors", (float(longer),), 0.0))
        found += memory_figures(own, nvitop or node)
    return found


def cpu_percent(running: Sequence[Program], pause: float, windows: int, seconds: float) -> dict[str, tuple[float, ...]]:
    """By program, of each window, while each is scraped every `pause` seconds."""
    stop = threading.Event()
    threads = [threading.Thread(target=_scrape_every, args=(pause, one.port, stop)) for one in running]
    for thread in threads:
        thread.start()
    time.sleep(4 * pause)  # until the scrapes are expected
    found: dict[str, list[float]] = {one.name: [] for one in running}
    for _ in range(windows):
        before, began = [one.cpu() for one in running], time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        for one, cpu in zip(running, before, strict=True):
            found[one.name].append((one.cpu() - cpu) / passed * 100)
    stop.set()
    for thread in threads:
        thread.join()
    return {name: tuple(values) for name, values in found.items()}


def cpu_figures(pause: float, spent: Mapping[str, tuple[float, ...]]) -> list[Figure]:
    (own, values), *others = spent.items()
    name, baseline = (others[0][0], median(others[0][1])) if others else ("", None)
    when = f"with_a_scrape_every_{pause:g}_s"
    found = [Figure(f"{own}_cpu_percent_{when}", "% of a core", values, CPU_GOALS[pause], baseline, name)]
    if name == "node_exporter" and pause == min(CPU_GOALS):
        shares = tuple(one / other for one, other in zip(values, others[0][1], strict=True))
        found.append(Figure(f"{own}_cpu_as_a_share_of_{name}", "times", shares, SHARE_GOAL))
    return found + [Figure(f"{other}_cpu_percent_{when}", "% of a core", percent) for other, percent in others]


def told(program: Program, family: str) -> dict[str, float]:
    """What the exporter says of each of its collectors."""
    _, text = harness.request(program.port, "GET", "/metrics")
    lines = (line for line in text.splitlines() if line.startswith(family + "{"))
    return {series.split('"')[1]: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


def collector_figures(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> list[Figure]:
    """Where the CPU goes, start-up included, as far as collectors run in their own threads; dearest first."""
    shares = {name: (after[name] - before.get(name, 0.0)) / seconds * 100 for name in after}
    dearest = sorted(shares, key=lambda name: -shares[name])
    return [Figure(f"collector_{name}_cpu_percent", "% of a core", (shares[name],)) for name in dearest]


def latency_figures(own: Program, node: Program | None, runs: int) -> list[Figure]:
    p50, p99 = latencies(own, runs, SCRAPES // 20)
    theirs = latencies(node, runs, OTHERS_SCRAPES // 5) if node else None
    name = node.name if node else ""
    return [
        Figure("scrape_p50_milliseconds", "ms", p50, P50_GOAL, median(theirs[0]) if theirs else None, name),
        Figure("scrape_p99_milliseconds", "ms", p99, P99_GOAL, median(theirs[1]) if theirs else None, name),
    ]


def latencies(program: Program, runs: int, scrapes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """p50 and p99 of each run, in milliseconds; PAUSE between two scrapes."""
    scraper = Scraper(program.port)
    found: list[tuple[float, float]] = []
    for _ in range(runs):
        durations: list[float] = []
        for _ in range(scrapes):
            durations.append(scraper.scrape() * 1e3)
            time.sleep(PAUSE)
        found.append((median(durations), quantiles(durations, n=100)[-1]))
    scraper.close()
    return tuple(one for one, _ in found), tuple(one for _, one in found)


def memory_figures(own: Program, other: Program | None) -> list[Figure]:
    _scrape(own, WARM_UP)
    before = own.resident()
    _scrape(own, SCRAPES)
    after = own.resident()
    if other:
        _scrape(other, OTHERS_SCRAPES)
    theirs = other.resident() if other else None
    name = f"{other.name} after {OTHERS_SCRAPES}" if other else ""
    return [
        Figure(f"rss_after_{SCRAPES}_scrapes_mebibytes", "MiB", (after,), RSS_GOAL, theirs, name),
        Figure(f"rss_growth_over_{SCRAPES}_scrapes_kibibytes", "KiB", ((after - before) * 1024,), GROWTH_GOAL),
    ]


def _scrape(program: Program, times: int) -> None:
    scraper = Scraper(program.port)
    for _ in range(times):
        scraper.scrape()
    scraper.close()


def _scrape_every(pause: float, port: int, stop: threading.Event) -> None:
    scraper = Scraper(port)
    while not stop.wait(pause):
        scraper.scrape()
    scraper.close()

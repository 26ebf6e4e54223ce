"""A log that grows by 20,000 lines a second: what the running exporter reads of it, and how fast lines are judged.

The lines are vLLM's own, which take longer than those of access: the ones of recorded runs that prove no state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path

from tests.e2e.harness.figures import Figure
from tests.exporter.bench import programs
from tests.exporter.bench.programs import Program, Scraper
from tests.exporter.bench.running import told
from tests.exporter.subjects.logs.recorded import LOGS, PATTERNS, follow, lines
from tests.ports import free_port
from vllm_exporter.subjects.logs.follow import Follower
from vllm_exporter.subjects.logs.incident import Incident

LINES_A_SECOND = 20_000
SECONDS = 25
GRACE = 5.0  # seconds after the last line, in which what is left may still be read
STEPS = 20  # a second: so often some lines are written
BURST = 200_000  # lines at once
BURST_PATIENCE = 60.0  # seconds
BATCH = 2_000  # lines that are judged at once: what a reading of a busy log gives
RUNS = 9


def measure(directory: Path, env: Mapping[str, str]) -> list[Figure]:
    home = directory / "logs"
    home.mkdir()
    log, target = home / "vllm.log", free_port()
    log.write_bytes(b"")
    options = f"collectors:\n  logs:\n    sources: [127.0.0.1:{target}={log}]\n"
    with programs.exporter(home, target, env, options) as program:
        _wait_until_read(program, 0)
        steady = steady_figures(program, log)
        return [*steady, *burst_figures(program, log), *judging_figures()]


def steady_figures(program: Program, log: Path) -> list[Figure]:
    resident = program.resident()
    before, began = program.cpu(), time.monotonic()
    scrapes = write(log, program)
    percent = (program.cpu() - before) / (time.monotonic() - began) * 100
    grown = program.resident()
    time.sleep(GRACE)
    written = LINES_A_SECOND * SECONDS
    left = 100 * (1 - total(program, "vllm_log_lines_total") / written)
    skipped = total(program, "vllm_log_skipped_bytes_total")
    return [
        Figure(f"log_of_{LINES_A_SECOND}_lines_a_second_unread_percent", "% of the lines", (left,), 0.0),
        Figure(f"log_of_{LINES_A_SECOND}_lines_a_second_skipped_bytes", "bytes", (skipped,), 0.0),
        Figure(f"log_of_{LINES_A_SECOND}_lines_a_second_cpu_percent", "% of a core", (percent,), 100.0),
        Figure(
            f"log_of_{LINES_A_SECOND}_lines_a_second_rss_mebibytes",
            "MiB",
            (grown,),
            None,
            resident,
            "before the first line",
        ),
        Figure(f"log_of_{LINES_A_SECOND}_lines_a_second_scrape_milliseconds", "ms", scrapes),
    ]


def burst_figures(program: Program, log: Path) -> list[Figure]:
    wanted = int(total(program, "vllm_log_lines_total")) + BURST
    with log.open("ab") as file:
        file.write(b"".join(islice(cycle(own_lines()), BURST)))
    began = time.monotonic()
    _wait_until_read(program, wanted)
    return [Figure(f"log_burst_of_{BURST}_lines_read_after_seconds", "s", (time.monotonic() - began,), 10.0)]


def judging_figures() -> list[Figure]:
    """Lines a second in one core, of CPU time."""
    own = [line.rstrip(b"\n") for line in own_lines()]
    behind = [b"2026-11-21T14:55:06.123456789Z stdout F " + line for line in own]
    kinds = {"vllm": own, "start": lines("healthy"), "json": lines("json"), "behind_a_prefix": behind}
    return [
        Figure(f"log_lines_judged_a_second_{name}", "lines", judged(given), LINES_A_SECOND, at_least=True)
        for name, given in kinds.items()
    ]


def judged(given: list[bytes]) -> tuple[float, ...]:
    batch = list(islice(cycle(given), BATCH))
    found = []
    for _ in range(RUNS):
        follower, began = Follower(PATTERNS, Incident()), time.thread_time()
        for _finding in follower.feed_all(batch, 0.0):
            pass
        found.append(BATCH / (time.thread_time() - began))
    return tuple(found)


def own_lines() -> list[bytes]:
    """Of all recorded runs as text, with their ends, and without the steps of a start: a server makes them once."""
    logs = sorted(path.stem for path in LOGS.glob("*.log") if path.stem != "json")
    every = (line for name in logs for line in lines(name) if line.startswith(b"("))
    return [line + b"\n" for line in every if not any(finding.state for finding in follow(line))]


def write(log: Path, program: Program) -> tuple[float, ...]:
    """LINES_A_SECOND for SECONDS, with a scrape in each; milliseconds of each scrape."""
    source, scraper, scrapes = cycle(own_lines()), Scraper(program.port), []
    began = time.monotonic()
    with log.open("ab") as file:
        for step in range(1, SECONDS * STEPS + 1):
            file.write(b"".join(islice(source, LINES_A_SECOND // STEPS)))
            file.flush()
            if step % STEPS == 0:
                scrapes.append(scraper.scrape() * 1e3)
            time.sleep(max(0.0, began + step / STEPS - time.monotonic()))
    scraper.close()
    return tuple(scrapes)


def total(program: Program, family: str) -> float:
    return sum(told(program, family).values())


def _wait_until_read(program: Program, wanted: int) -> None:
    """Raises RuntimeError when that takes too long."""
    deadline = time.monotonic() + BURST_PATIENCE
    while not (seen := told(program, "vllm_log_lines_total")) or sum(seen.values()) < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{program.name} has read {seen} of {wanted} lines after {BURST_PATIENCE:g} s")
        time.sleep(0.1)

"""How long a real Prometheus takes to answer all queries of each board: 100 servers of 8 engines, a range of 1 h.

Run from the checkout: python benchmarks/boards.py [--servers 100] [--engines 8] [--runs 5] [--json FILE].
The series are made up: promtool writes them as blocks, every 15 s. Queries are asked as Grafana asks them, six at once.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.alerts.toolchain import Tools, find_generations
from tests.e2e.harness.benchmark import make_parser, write
from tests.grafana.test_names import names_in
from tests.grafana.written import BOARDS, CHOSEN, VARIABLE, everything, panels
from tests.ports import free_port

STEP = 15  # seconds: the profile above 20 servers
RANGE = 3600
GOAL = 1.5  # seconds a board
AT_ONCE = 6  # requests that a browser has under way to one host
BUCKETS = (
    "0.01",
    "0.05",
    "0.1",
    "0.3",
    "0.5",
    "0.8",
    "1",
    "1.5",
    "2",
    "2.5",
    "5",
    "10",
    "20",
    "40",
    "60",
    "120",
    "+Inf",
)
EVERY_CHOICE = CHOSEN | {"server": ".*", "__interval": "15s", "__interval_ms": "15000", "__range": "1h"}
EVERY_CHOICE |= {"__range_s": "3600", "__rate_interval": "1m"}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    generations = find_generations()
    if not generations:
        print("no prometheus and promtool on this machine: make install", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="vllm-boards-") as home:
        end = int(time.time()) // STEP * STEP
        make_blocks(generations[0], Path(home), arguments, end)
        with prometheus(generations[0], Path(home)) as url:
            figures = {f"{name}_board_seconds": figure(ask(url, name, end, arguments.runs)) for name in BOARDS}
    for name, one in figures.items():
        print(f"{name}: {one['value']} s (median {one['median']}, goal {one['goal']})")
    write(arguments.json, figures)
    return 0 if all(one["ok"] for one in figures.values()) else 1


def make_blocks(tools: Tools, home: Path, arguments: argparse.Namespace, end: int) -> None:
    """Writes samples of all series that the boards name. What is a share stays one; counters grow."""
    names = sorted({name for board in BOARDS.values() for query in everything(board) for name in names_in(query.expr)})
    with (home / "series.txt").open("w") as file:
        for name in names:
            hours = (
                7 if name.endswith(":code") else 1.2
            )  # Overview looks back 6 hours for the last time that all was well
            times = range(end - int(hours * RANGE) // STEP * STEP, end, STEP)
            file.write(f"# TYPE {name.removesuffix('_total')} {'counter' if name.endswith('_total') else 'gauge'}\n")
            for number, labels in enumerate(labels_of(name, arguments.servers, arguments.engines)):
                grows = 1 + number % 3 if name.endswith("_total") else 0
                start = (
                    0 if name.endswith((":code", "needs_person", "paused", "dry_run")) else 0.25 + 0.5 * (number % 2)
                )
                file.writelines(f"{name}{labels} {start + grows * at} {when}\n" for at, when in enumerate(times))
        file.write("# EOF\n")
    make = ("tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", home / "series.txt", home / "data")
    subprocess.run([tools.promtool, *make], check=True, stdout=subprocess.DEVNULL)
    (home / "series.txt").unlink()


def labels_of(name: str, servers: int, engines: int) -> Iterator[str]:
    """As many series of that name as such a fleet has: by level, by GPU, by host, by process, by server, or one."""
    level = name.partition(":")[0]
    nodes = [f"gpu-node-{number:03d}:8000" for number in range(servers)]
    if name == "ALERTS" or name == "ALERTS_FOR_STATE":
        yield '{alertname="Watchdog",alertstate="firing",severity="none"}'
        yield from (
            f'{{alertname="HighLatency",alertstate="firing",severity="warning",server="{node}"}}' for node in nodes[:10]
        )
    elif level == "model":
        yield from (f'{{model_name="m{number}"}}' for number in range(4))
    elif level == "engine":
        yield from (f'{{server="{node}",engine="{one}",model_name="m"}}' for node in nodes for one in range(engines))
    elif name.endswith("_bucket:rate2m"):
        yield from (f'{{server="{node}",le="{bound}"}}' for node in nodes for bound in BUCKETS)
    elif "slo" in name:
        yield from (f'{{server="{node}",model_name="m",slo="{slo}"}}' for node in nodes for slo in ("ttft", "e2e"))
    elif name.startswith("vllm_gpu_"):
        yield from (
            f'{{job="exporter",instance="{node}",gpu_id="{gpu}",server="{node}",role="worker"}}'
            for node in nodes
            for gpu in range(engines)
        )
    elif name.startswith("vllm_process_"):
        yield from (
            f'{{job="exporter",instance="{node}",server="{node}",role="worker",rank="{rank}"}}'
            for node in nodes
            for rank in range(engines)
        )
    elif name.startswith("vllm_healer_"):
        yield '{job="healer",instance="h:9856"}'
    else:
        job = "vllm" if name == "up" else "exporter"
        yield from (f'{{job="{job}",instance="{node}",server="{node}",model_name="m"}}' for node in nodes)


@contextmanager
def prometheus(tools: Tools, home: Path) -> Iterator[str]:
    (home / "prometheus.yml").write_text("{}")
    port = free_port()
    command = [tools.prometheus, f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            while not is_ready(url):
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            process.wait()


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(url: str, name: str, end: int, runs: int) -> list[float]:
    """Returns the seconds of each run over all queries of the board that are on the screen."""
    queries = list(shown(BOARDS[name], end - STEP))
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda query: answered(url, *query), queries))
        taken.append(time.perf_counter() - began)
    return taken


def shown(board: dict[str, Any], now: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Panels of collapsed rows are asked when somebody opens them."""
    hidden = {panel["title"] for row in board["panels"] for panel in row.get("panels", ())}
    for panel in panels(board):
        if panel["title"] in hidden:
            continue
        for target in panel["targets"]:
            expr = VARIABLE.sub(lambda found: EVERY_CHOICE[found[1] or found[2]], target["expr"])
            if target["instant"]:
                yield "query", {"query": expr, "time": now}
            else:
                yield "query_range", {"query": expr, "start": now - RANGE, "end": now, "step": STEP}


def answered(url: str, path: str, asked: dict[str, object]) -> None:
    """Raises SystemExit with what Prometheus says against the query."""
    request = urllib.request.Request(f"{url}/api/v1/{path}", data=urlencode(asked).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{asked['query']}: {re.sub(chr(10), ' ', error.read().decode())}") from error


def figure(taken: Sequence[float]) -> dict[str, Any]:
    """The worst run is the value, and has to reach the goal; the first one finds nothing cached."""
    worst = max(taken)
    return {
        "value": round(worst, 2),
        "median": round(statistics.median(taken), 2),
        "best": round(min(taken), 2),
        "unit": "s",
        "goal": GOAL,
        "ok": worst <= GOAL,
        "repetitions": len(taken),
    }


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--servers", type=int, default=100, metavar="N")
    parser.add_argument("--engines", type=int, default=8, metavar="N", help="of each server")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""What all recording rules cost a real Prometheus: 100 servers of 8 engines, scraped every 15 s.

Run from the checkout: python benchmarks/rules.py [--servers 100] [--engines 8] [--warm 300] [--seconds 90]
[--json FILE]. Two Prometheuses scrape the same pages, which this program serves; one of them has the rules. What it
takes more is theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.alerts.releases import extracted, labelled, samples
from tests.alerts.toolchain import PROMETHEUS, Tools, find_generations
from tests.e2e.harness.benchmark import make_parser, write
from tests.ports import free_port

SCRAPE = 15  # seconds: the profile above 20 servers
CORE_GOAL, SLOWEST_GOAL = 20.0, 250.0  # % of a core, milliseconds
STATES, GPUS = 42, 8


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    generations = find_generations()
    if not generations:
        print("no prometheus and promtool on this machine: make install", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vllm-rules-")))
        pages = stack.enter_context(serve(Pages(arguments.engines)))
        shutil.copytree(PROMETHEUS / "rules", home / "with" / "rules")
        ports = {name: free_port() for name in ("with", "without")}
        pids = {
            name: stack.enter_context(prometheus(generations[0], home / name, port, pages, arguments.servers))
            for name, port in ports.items()
        }
        time.sleep(arguments.warm)
        figures = watch(pids, ports["with"], arguments.seconds)
    for name, one in figures.items():
        print(f"{name}: {one['value']} {one['unit']}" + (f" (goal {one['goal']})" if "goal" in one else ""))
    write(arguments.json, figures)
    return 0 if all(one.get("ok", True) for one in figures.values()) else 1


class Pages:
    """The page of a server at any time: every counter has grown as long as this program has run."""

    def __init__(self, engines: int) -> None:
        self._began = time.monotonic()
        self._series = [*of_vllm(engines), *of_the_exporter()]
        self._text: dict[int, bytes] = {}

    def text(self) -> bytes:
        """vLLM's families that the rules read, as the newest release has them, and the exporter's of the server.

        All servers show the same for a second: to write a hundred pages would take the time that is measured.
        """
        second = int(time.monotonic() - self._began)
        if (page := self._text.get(second)) is None:
            lines = (f"{name} {start + step * second / SCRAPE:.3f}\n" for name, step, start in self._series)
            page = "".join(lines).encode()
            self._text = {second: page}
        return page


Series = tuple[str, float, float]  # name with labels, growth at a scrape, first value


def of_vllm(engines: int) -> Iterator[Series]:
    newest = extracted()[-1]
    for engine in range(engines):
        for family in newest.families:
            if family["name"] == "http_requests_total" and engine:
                continue
            for labels in labelled(newest, family):
                kept = {name: value for name, value in labels.items() if name not in ("job", "instance", "server")}
                for one in samples(str(family["name"]), family, kept | {"engine": str(engine)}):
                    start, _, step = one["values"].rpartition("x")[0].partition("+")
                    yield one["series"], float(step or 0), float(start)


def of_the_exporter() -> Iterator[Series]:
    for name, value in (("ready", 1), ("stalled", 0), ("progress_age_seconds", 1), ("stall_limit_seconds", 30)):
        yield f"vllm_server_{name}", 0, value
    yield "vllm_canary_success", 0, 1
    yield 'vllm_canary_requests_total{result="ok"}', 1, 0
    for result in ("ok", "refused", "timeout", "503", "other"):
        yield f'vllm_probe_health{{result="{result}"}}', 0, int(result == "ok")
    for number in range(STATES):
        yield f'vllm_lifecycle_state{{state="state_{number}"}}', 0, int(number == 0)
    for gpu in range(GPUS):
        yield f'vllm_gpu_process_memory_bytes{{gpu_id="{gpu}",role="worker",rank="{gpu}"}}', 0, 1


@contextmanager
def serve(pages: Pages) -> Iterator[int]:
    """Yields the port on which each path is the page of a server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.text()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


@contextmanager
def prometheus(tools: Tools, home: Path, port: int, pages: int, servers: int) -> Iterator[int]:
    """Yields the process id of one that scrapes the pages as so many servers, with the rules in `home`, if any."""
    home.mkdir(exist_ok=True)
    targets = [
        {
            "targets": [f"127.0.0.1:{pages}"],
            "labels": {"server": f"gpu-node-{number:03d}:8000", "__metrics_path__": f"/{number}"},
        }
        for number in range(servers)
    ]
    for target in targets:
        target["labels"]["instance"] = target["labels"]["server"]
    scrapes = {"job_name": "vllm", "scrape_interval": f"{SCRAPE}s", "static_configs": targets}
    config = {"global": {"evaluation_interval": "5s"}, "rule_files": ["rules/*.rules.yml"], "scrape_configs": [scrapes]}
    (home / "prometheus.yml").write_text(json.dumps(config))
    command = [tools.prometheus, f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def watch(pids: dict[str, int], port: int, seconds: int) -> dict[str, dict[str, Any]]:
    """Looks at the rules' own times once in an interval, and at the CPU time of both processes."""
    began, used = time.monotonic(), {name: cpu_seconds(pid) for name, pid in pids.items()}
    taken: dict[tuple[str, str], list[float]] = {}
    while time.monotonic() < began + seconds:
        time.sleep(SCRAPE)
        for group in asked(port):
            for number, rule in enumerate(group["rules"]):
                key = (group["name"], f"{number} {rule['name']}")
                taken.setdefault(key, []).append(rule["evaluationTime"] * 1000)
    elapsed = time.monotonic() - began
    share = {name: 100 * (cpu_seconds(pid) - used[name]) / elapsed for name, pid in pids.items()}
    medians = {key: statistics.median(times) for key, times in taken.items()}
    slowest = max(medians, key=medians.__getitem__)
    print("slowest rules, milliseconds (median):")
    for key in sorted(medians, key=medians.__getitem__, reverse=True)[:8]:
        print(f"  {medians[key]:7.1f}  {key[0]}: {key[1].partition(' ')[2]}")
    baseline = {"baseline": round(share["without"], 2), "baseline_name": "scraping alone"}
    return {
        "rules_cpu_percent": figure([share["with"] - share["without"]], "% of a core", CORE_GOAL) | baseline,
        "slowest_rule_milliseconds": figure(taken[slowest], "ms", SLOWEST_GOAL),
        "rules": figure([len(medians)], "rules"),
    }


def figure(measured: Sequence[float], unit: str, goal: float | None = None) -> dict[str, Any]:
    """The worst of what was measured is the value, and has to reach the goal."""
    worst, best = max(measured), min(measured)
    found: dict[str, Any] = {
        "value": round(worst, 2),
        "median": round(statistics.median(measured), 2),
        "best": round(best, 2),
        "unit": unit,
        "repetitions": len(measured),
    }
    return found if goal is None else found | {"goal": goal, "ok": worst <= goal}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def asked(port: int) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/rules", timeout=20) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["groups"]
    bad = [
        f"{rule['name']}: {rule['lastError']}" for group in found for rule in group["rules"] if rule.get("lastError")
    ]
    if bad:
        raise SystemExit(f"rules fail: {'; '.join(bad)}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--servers", type=int, default=100, metavar="N")
    parser.add_argument("--engines", type=int, default=8, metavar="N", help="of each server")
    parser.add_argument("--seconds", type=int, default=90, metavar="N", help="how long is measured")
    parser.add_argument(
        "--warm", type=int, default=300, metavar="N", help="seconds before: the longest window over samples"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

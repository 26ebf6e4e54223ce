"""Which alerts fire on made-up days of three servers on which nothing is wrong.

Run from the checkout: python benchmarks/false_alarms.py [--seed 1] [--days 0.25] [--json FILE]. A day has quiet nights,
bursts, long prompts, restarts one after the other, slow model loads, sleep, and a server that is taken away for hours.
promtool's own engine evaluates all rules and alerts every 15 s: so recorded series that read themselves, and pages that
read other alerts, mean what they mean in Prometheus. A page that Alertmanager would hold back is none. The made-up
healer lists the servers and waits for starts. Not made up: full or hot GPUs, hosts, logs, the part inside vLLM.
"""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.alerts.toolchain import PROMETHEUS, find_generations
from tests.e2e.harness.benchmark import make_parser, write

SCRAPE = 15  # seconds
DAY = 24 * 3600 // SCRAPE  # scrapes
SERVERS = 3
READY = {"night", "serving", "burst", "long_prompts", "asleep", "draining"}
LIFECYCLE = {"draining": "draining", "exited": "exited", "loading": "weights_loading", "asleep": "sleeping"}
# Of pages, what Alertmanager does not hold back while a server starts, drains, sleeps or is stopped.
CRITICAL = 'alertstate="firing", severity="critical", healable!="true"'
HELD_BACK = 'component=~"engine|traffic|slo", notify!="people"'
PAGES = (
    f'(ALERTS{{{CRITICAL}, {HELD_BACK}}} unless on (server) ALERTS{{alertname="VllmSetAside", alertstate="firing"}})'
    f' or ALERTS{{{CRITICAL}, component!~"engine|traffic|slo"}} or ALERTS{{{CRITICAL}, notify="people"}}'
)
OTHERS = 'ALERTS{alertstate="firing", severity=~"warning|info"}'
GOT = re.compile(r'\{alertname="(\w+)", of="(\w+)"\} ([\d.E+]+)')
BOUNDS = (0.05, 0.1, 0.3, 0.5, 1, 2, 5, 10, 30, 60, math.inf)


@dataclass(frozen=True)
class Moment:
    """What a server does in one scrape."""

    word: str
    started: int  # the scrape at which its process began

    @property
    def here(self) -> bool:
        return self.word != "away"

    @property
    def answers(self) -> bool:
        return self.word in READY


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the made-up days")
    parser.add_argument("--days", type=float, default=0.25, metavar="D", help="how many, from midnight on")
    arguments = parser.parse_args(argv)
    generations = find_generations()
    if not generations or arguments.days <= 0:
        print("needs promtool (make install) and more than 0 days", file=sys.stderr)
        return 1
    pages, others = evaluate(generations[0].promtool, arguments.seed, round(arguments.days * DAY))
    print(f"seed {arguments.seed}, {arguments.days:g} days; minutes of pages: {pages}, of other alerts: {others}")
    figure = {"unit": "pages", "goal": 0, "ok": not pages, "repetitions": 1}
    one = {"value": len(pages), "median": len(pages), "best": len(pages), **figure}
    write(arguments.json, {f"seed_{arguments.seed}_{arguments.days:g}_days_pages": one})
    return 1 if pages else 0


def evaluate(promtool: str, seed: int, scrapes: int) -> tuple[dict[str, float], dict[str, float]]:
    """Minutes for which pages, and other alerts, fired, by name."""
    rules = [str(file) for folder in ("rules", "alerts") for file in sorted((PROMETHEUS / folder).glob("*.yml"))]
    span = f"{scrapes * SCRAPE}s"
    asked = [
        {
            "expr": f"label_replace(sum by (alertname) (count_over_time(({query})[{span}:{SCRAPE}s])),"
            f' "of", "{of}", "", "")',
            "eval_time": span,
        }
        for of, query in (("pages", PAGES), ("others", OTHERS))
    ]
    test = {"interval": f"{SCRAPE}s", "input_series": list(series(seed, scrapes)), "promql_expr_test": asked}
    content = {"rule_files": rules, "evaluation_interval": f"{SCRAPE}s", "tests": [test]}
    with tempfile.TemporaryDirectory(prefix="vllm-false-alarms-") as folder:
        file = Path(folder, "days.test.yml")
        file.write_text(json.dumps(content))
        done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode and "got:" not in said:
        raise SystemExit(f"promtool: {said}")
    return minutes("pages", said), minutes("others", said)


def minutes(of: str, said: str) -> dict[str, float]:
    """Nothing is expected, so promtool lists what it got: name and number of evaluations."""
    return {name: float(count) * SCRAPE / 60 for name, kind, count in GOT.findall(said) if kind == of}


def series(seed: int, scrapes: int) -> Iterator[dict[str, str]]:
    for number in range(SERVERS):
        chance = random.Random(f"{seed} {number}")
        moments = list(course(chance, number, scrapes))
        yield from of_server(chance, f"gpu{number}:8000", moments)
    for job, instance in (("exporter", "127.0.0.1:9855"), ("healer", "127.0.0.1:9856"), ("prometheus", "p:9090")):
        yield line("up", {"job": job, "instance": instance}, [1] * scrapes)


def course(chance: random.Random, number: int, scrapes: int) -> Iterator[Moment]:
    """Restarts go from server to server, ten minutes apart; the rest is chance."""
    left, word, started = 0, "night", -DAY
    follow: list[tuple[str, int]] = []
    for now in range(scrapes):
        hour = now % DAY * 24 / DAY
        if now % (DAY // 4) == DAY // 12 + number * 40:
            follow = [("draining", 4), ("exited", 1), ("loading", chance.randint(8, 36))]
            left = 0
        if left <= 0:
            if follow:
                word, left = follow.pop(0)
                started = now if word == "loading" else started
            elif word == "away":
                follow, left = [("loading", chance.randint(8, 60))], 0
                word, left = follow.pop(0)
                started = now
            else:
                day = 7 <= hour < 22
                word = chance.choices(
                    ("serving" if day else "night", "burst", "long_prompts", "asleep", "away"),
                    (80, 8 if day else 1, 6, 0 if day else 2, 1),
                )[0]
                left = chance.randint(12, 40) * {"away": 6, "asleep": 3}.get(word, 1)
                left = min(left, 12) if word == "long_prompts" else left
        left -= 1
        yield Moment(word, started)


def of_server(chance: random.Random, server: str, moments: Sequence[Moment]) -> Iterator[dict[str, str]]:
    """vLLM's families that rules read, and the exporter's."""
    vllm = {"job": "vllm", "instance": server, "server": server}
    model = vllm | {"model_name": "m", "engine": "0"}
    exporter = {"job": "exporter", "instance": "127.0.0.1:9855", "server": server}
    rate = [
        {"serving": 3.0, "burst": 9.0, "long_prompts": 3.0, "night": 0.05}.get(moment.word, 0.0)
        * chance.uniform(0.7, 1.3)
        for moment in moments
    ]
    up = [moment.answers for moment in moments]
    here = [moment.here for moment in moments]
    yield line("up", vllm, [float(one) if there else None for one, there in zip(up, here, strict=True)])
    gauges: dict[str, list[float]] = {
        "vllm:num_requests_running": [round(min(200, 6 * one)) for one in rate],
        "vllm:num_requests_waiting": [
            chance.randint(0, 80) if moment.word == "burst" else chance.randint(0, 3) if moment.word == "serving" else 0
            for moment in moments
        ],
        "vllm:kv_cache_usage_perc": [min(0.97, 0.08 * one) for one in rate],
    }
    for name, values in gauges.items():
        yield line(name, model, shown(values, up))
    for name, labels, factor in (
        ("vllm:generation_tokens_total", model, 200),
        ("vllm:prompt_tokens_total", model, 800),
        ("vllm:request_success_total", model | {"finished_reason": "stop"}, 1),
        ("http_requests_total", vllm | {"handler": "/v1/completions", "method": "POST", "status": "2xx"}, 1),
        ("http_requests_total", vllm | {"handler": "/v1/completions", "method": "POST", "status": "4xx"}, 0.01),
        ("http_requests_total", vllm | {"handler": "/v1/completions", "method": "POST", "status": "5xx"}, 0.001),
    ):
        yield line(name, labels, shown(counted([factor * one for one in rate], moments), up))
    for name, slow, usual in (
        ("vllm:e2e_request_latency_seconds", {"burst": 1.8, "long_prompts": 1.8}, 1.0),
        ("vllm:time_to_first_token_seconds", {"burst": 1.0, "long_prompts": 1.5}, 0.2),
        ("vllm:inter_token_latency_seconds", {"long_prompts": 1.6}, 0.04),
        ("vllm:request_queue_time_seconds", {"burst": 0.8}, 0.01),
    ):
        for bound in BOUNDS:
            # Half as long as usual to the double of it, evenly.
            grown = [
                one * min(1.0, max(0.0, (bound / slow.get(moment.word, usual) - 0.3) / 0.9))
                for one, moment in zip(rate, moments, strict=True)
            ]
            label = "+Inf" if bound == math.inf else str(float(bound))
            yield line(f"{name}_bucket", model | {"le": label}, shown(counted(grown, moments), up))
    yield from of_exporter(server, exporter, moments, here)


def of_exporter(
    server: str, labels: dict[str, str], moments: Sequence[Moment], here: Sequence[bool]
) -> Iterator[dict[str, str]]:
    for result in ("ok", "refused", "timeout", "503", "other"):
        truth = [(result == "ok") == one.answers and result in ("ok", "refused") for one in moments]
        yield line("vllm_probe_health", labels | {"result": result}, shown(truth, here))
    for state in ("serving", "idle", *LIFECYCLE.values()):
        truth = [LIFECYCLE.get(one.word, "idle" if one.word == "night" else "serving") == state for one in moments]
        yield line("vllm_lifecycle_state", labels | {"state": state}, shown(truth, here))
    steady: dict[str, list[float]] = {
        "vllm_server_ready": [one.answers for one in moments],
        "vllm_server_sleeping": [one.word == "asleep" for one in moments],
        "vllm_server_stalled": [0.0 for _ in moments],
        "vllm_server_stall_limit_seconds": [30.0 for _ in moments],
        "vllm_server_progress_age_seconds": [4.0 if one.word == "long_prompts" else 0.0 for one in moments],
        "vllm_canary_consecutive_failures": [float(one.word == "long_prompts") for one in moments],
        "vllm_canary_success": [float(one.word != "long_prompts") for one in moments],
        "vllm_process_orphans": [0.0 for _ in moments],
        "vllm_server_metrics_readable": [one.answers for one in moments],
    }
    for name, values in steady.items():
        yield line(name, labels, shown(values, here))
    alive = [one.here and one.word != "exited" for one in moments]
    role = labels | {"role": "api_server"}
    yield line("vllm_processes", role, shown(alive, here))
    yield line("vllm_process_start_time_seconds", role, shown([one.started * SCRAPE for one in moments], alive))
    healer = {"job": "healer", "instance": "127.0.0.1:9856"}
    # It sees the start and waits for its end, as it does after a restart of its own.
    waits = [(one.started * SCRAPE + 900 if one.word == "loading" else 0) for one in moments]
    yield line("vllm_healer_working_until_timestamp_seconds", healer | {"server": server}, waits)
    if server.startswith("gpu0"):
        for name in ("vllm_healer_dry_run", "vllm_healer_paused"):
            yield line(name, healer, [0] * len(moments))
        ticks = [now * SCRAPE for now in range(len(moments))]
        yield line("vllm_healer_worker_last_tick_timestamp_seconds", healer, ticks)
        yield line("vllm_healer_last_reconcile_timestamp_seconds", healer, ticks)
    host = {"job": "exporter", "instance": "127.0.0.1:9855", "gpu_id": server[3]}
    used = [88e9 if one.word in READY else 30e9 if one.word == "loading" else 1e9 for one in moments]
    yield line("vllm_gpu_memory_used_bytes", host, used)
    yield line("vllm_gpu_memory_total_bytes", host, [96e9] * len(moments))
    yield line("vllm_gpu_temperature_celsius", host | {"sensor": "gpu"}, [60 + 12 * one.answers for one in moments])


def counted(steps: Sequence[float], moments: Sequence[Moment]) -> list[float]:
    """A counter that begins anew with each process."""
    found, total, began = [], 0.0, None
    for step, moment in zip(steps, moments, strict=True):
        total = total + step * SCRAPE if began == moment.started else 0.0
        began = moment.started
        found.append(total)
    return found


def shown(values: Sequence[float], when: Sequence[bool]) -> list[float | None]:
    return [value if there else None for value, there in zip(values, when, strict=True)]


def line(name: str, labels: dict[str, str], values: Sequence[float | None]) -> dict[str, str]:
    """promtool's input; what is not shown ends the series, as a scrape without it does."""
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    texts, before = [], False
    for value in values:
        texts.append(
            f"{value:.6g}"
            if value is not None and value < 1e6
            else f"{value:.0f}"
            if value is not None
            else "stale"
            if before
            else "_"
        )
        before = value is not None
    return {"series": f"{name}{{{inside}}}", "values": " ".join(texts)}


if __name__ == "__main__":
    sys.exit(main())

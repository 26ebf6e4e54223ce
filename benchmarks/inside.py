"""What the in-process part costs a server: per step, per request, per chunk, and its other thread's share of the loop.

Run from the checkout: python benchmarks/inside.py [--json FILE]
Calls are measured in a warm loop, net of an empty function that takes the same arguments. The baselines are what one
request costs with prometheus_client and with OpenTelemetry: a counter and a histogram, found by labels.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prometheus_client import CollectorRegistry, Counter, Histogram

from tests.e2e.harness.benchmark import make_parser, write_figures
from tests.e2e.harness.figures import Figure
from tests.monitor import eras
from tests.monitor.bench.baselines import opentelemetry
from vllm_monitor.background import INTERVAL, Background
from vllm_monitor.limits import Limit
from vllm_monitor.middleware import Middleware
from vllm_monitor.order_file import write_order
from vllm_monitor.process import this_process
from vllm_monitor.requests import RecordedRequests
from vllm_monitor.ring import Ring
from vllm_monitor.series import Series
from vllm_monitor.stats import StepCounter
from vllm_monitor.vllm_metrics import VLLMMetrics

LABELS = "prometheus_client by labels"
RUNS, CALLS, REQUESTS, CHUNKS = 7, 200_000, 3_000, 200
STEPS_A_SECOND, BATCH, SECONDS = 300, 64, 10.0
MICRO = 1e6


def main(argv: Sequence[str] | None = None) -> int:
    arguments = make_parser(__doc__).parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VLLM_MONITOR_DIR"] = folder
        found = [*recording(), *middleware(), counting(Path(folder)), *lag(Path(folder)), memory()]
    for figure in found:
        print(figure.words(), flush=True)
    write_figures(arguments.json, found)
    return 0 if all(figure.ok for figure in found) else 1


def seconds(call: Callable[[], object], calls: int) -> float:
    """Returns the CPU time of the calling thread for one call, on average."""
    began = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - began) / calls


def recording() -> list[Figure]:
    """Returns the cost of record(), and of the same request in prometheus_client."""
    stats, append = object(), Ring().append

    def empty(*arguments: object, **named: object) -> None:
        pass

    net = []
    for _ in range(RUNS):
        ours = seconds(lambda: append(stats, stats, mm_cache_stats=None, engine_idx=0), CALLS)
        net.append((ours - seconds(lambda: empty(stats, stats, mm_cache_stats=None, engine_idx=0), CALLS)) * MICRO)
    own = VLLMMetrics(CollectorRegistry())
    requested, own_total = [], []
    for _ in range(RUNS + 1):
        before = time.thread_time()
        requested.append(seconds(lambda: own.record_request(0.1, "success"), 1_000) * MICRO)
        own.flush()  # as its other thread does
        own_total.append((time.thread_time() - before) / 1_000 * MICRO)
    requested, own_total = requested[1:], own_total[1:]  # the first run warms up
    theirs, otel = prometheus(), opentelemetry()
    found = [
        Figure("record_microseconds", "µs", tuple(net), 0.3, min(theirs), LABELS),
        Figure("record_request_microseconds", "µs", tuple(requested), 0.3, min(theirs), LABELS),
        Figure("record_cheaper_than_prometheus_client", "times", (min(theirs) / max(net),), 10.0, at_least=True),
        Figure(
            "record_request_cheaper_than_prometheus_client", "times", _times(theirs, requested), 10.0, at_least=True
        ),
        Figure("request_counted_all_threads_microseconds", "µs", all_threads(), min(theirs), min(theirs), LABELS),
        Figure("record_request_all_threads_microseconds", "µs", tuple(own_total), None, min(theirs), LABELS),
    ]
    if otel:
        caller, whole = [one for one, _ in otel], [one for _, one in otel]
        found += [
            Figure("opentelemetry_request_microseconds", "µs", tuple(caller)),
            Figure("opentelemetry_request_all_threads_microseconds", "µs", tuple(whole)),
            Figure("record_cheaper_than_opentelemetry", "times", (min(caller) / max(net),), 10.0, at_least=True),
            Figure(
                "record_request_cheaper_than_opentelemetry", "times", _times(caller, requested), 10.0, at_least=True
            ),
        ]
    return found


def prometheus() -> list[float]:
    """Returns the µs of one request with prometheus_client, which has no other thread."""
    registry = CollectorRegistry()
    requests = Counter("requests", "", ["status"], registry=registry)
    latency = Histogram("latency", "", ["server"], registry=registry)

    def labelled() -> None:
        requests.labels(status="success").inc()
        latency.labels(server="a").observe(0.2)

    return [seconds(labelled, CALLS // 10) * MICRO for _ in range(RUNS)]


def all_threads() -> tuple[float, ...]:
    """Returns the µs of one request here, from the caller to the snapshot's values: a counter and a histogram, too."""
    recorded = RecordedRequests(Series())

    def request() -> None:
        recorded.append((0.2, "success", 0, None))
        if len(recorded._recorded) >= 1_000:
            deque(recorded(0.0), maxlen=0)

    seconds(request, 10_000)
    return tuple(seconds(request, 100_000) * MICRO for _ in range(RUNS))


def _times(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, ...]:
    return tuple(min(theirs) / one for one in ours)


START = {"type": "http.response.start", "status": 200, "headers": []}
CHUNK = {"type": "http.response.body", "body": b'data: {"choices":[{"text":" a"}]}\n\n', "more_body": True}
END = {"type": "http.response.body", "body": b""}
KEY = (b"authorization", b"Bearer sk-0123456789abcdef0123456789abcdef")
SCOPE = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": [(b"host", b"x")] * 8 + [KEY]}
TURNS = [{"role": "user", "content": "a question of some words " * 8}] * 6
BODY = json.dumps({"messages": TURNS, "model": "tiny", "stream": True}).encode()  # as OpenAI's client orders it


LIMITS = (Limit(1_000_000, 1e9, 1e9), Limit(1_000_000, 1e9, 1e9, model="tiny", priority_from=0))


def middleware() -> list[Figure]:
    """Returns what a request and a chunk take more with the middleware than without.

    Plainly, and with all that it can do: management paths guarded, and a throttle that looks into the body.
    """
    plain = _middleware("")
    folder = Path(os.environ["VLLM_MONITOR_DIR"])
    (folder / "token").write_text("0123456789abcdef")
    (folder / "token").chmod(0o600)
    os.environ["VLLM_MONITOR_TOKEN_FILE"] = str(folder / "token")
    write_order(folder, LIMITS, 600.0, 429)
    return [*plain, *_middleware("_with_throttle_and_guard")]


def _middleware(how: str) -> list[Figure]:

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        for _ in range(scope["chunks"]):
            await send(CHUNK)
        await send(END)

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY}

    async def send(message: Any) -> None:
        pass

    async def ask(app: Any, chunks: int) -> float:
        scope = {**SCOPE, "chunks": chunks}
        began = time.thread_time()
        for _ in range(REQUESTS):
            await app(scope, receive, send)
        return (time.thread_time() - began) / REQUESTS

    wrapped = Middleware(application)
    time.sleep(4 * INTERVAL)  # until the order is read

    def more(chunks: int) -> float:
        return (asyncio.run(ask(wrapped, chunks)) - asyncio.run(ask(application, chunks))) * MICRO

    requests = [more(0) for _ in range(RUNS)]
    chunks = [(more(CHUNKS) - min(requests)) / CHUNKS for _ in range(RUNS)]
    return [
        Figure(f"middleware_request{how}_microseconds", "µs", tuple(requests), 30.0),
        Figure(f"middleware_chunk{how}_microseconds", "µs", tuple(chunks), 1.0),
    ]


def a_step() -> tuple[Any, Any]:
    """Returns the statistics of a step of a batch of BATCH, in which one request ends."""
    iteration = eras.iteration("0.32.0")
    iteration.inter_token_latencies_iter = [0.004] * BATCH
    return eras.scheduler("0.32.0"), iteration


def counting(folder: Path) -> Figure:
    """Returns what the other thread takes for a step."""
    here = this_process()
    assert here is not None
    counter, (scheduler, iteration) = StepCounter(here.background.series), a_step()
    taken = [seconds(lambda: counter.count(1.0, scheduler, iteration, 0), 2_000) * MICRO for _ in range(RUNS)]
    return Figure(f"counting_a_step_of_{BATCH}_microseconds", "µs", tuple(taken))


def lag(folder: Path) -> list[Figure]:
    """Returns the event loop's lag at the 99th percentile, without and with the other thread."""
    alone = asyncio.run(_lag(lambda: None))
    ring, (scheduler, iteration) = Ring(), a_step()
    background = Background(folder, 0)
    counter = StepCounter(background.series)

    def source(now: float) -> Any:
        for at, arguments, _ in ring.take():
            counter.count(at, arguments[0], arguments[1], 0)
            yield

    background.add(source)
    background.start()
    beside = asyncio.run(_lag(lambda: ring.append(scheduler, iteration)))
    background.stop()
    return [
        Figure("loop_lag_p99_milliseconds_more", "ms", (max(0.0, beside - alone) * 1e3,), 1.0),
        Figure("loop_lag_p99_milliseconds", "ms", (beside * 1e3,), None, alone * 1e3, "without it"),
    ]


async def _lag(step: Callable[[], object]) -> float:
    """Returns the 99th percentile of how late the loop is, while it records STEPS_A_SECOND steps a second."""
    waits = []
    until = time.monotonic() + SECONDS
    while (began := time.monotonic()) < until:
        await asyncio.sleep(1 / STEPS_A_SECOND)
        waits.append(time.monotonic() - began - 1 / STEPS_A_SECOND)
        step()
    return sorted(waits)[int(len(waits) * 0.99)]


def memory() -> Figure:
    """Returns what a full ring of steps holds, when the thread that empties it is gone."""
    ring = Ring()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20_000):
        ring.append(*a_step(), mm_cache_stats=None, engine_idx=0)
    return Figure(
        "memory_mebibytes", "MiB", ((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,), 10.0
    )


if __name__ == "__main__":
    sys.exit(main())

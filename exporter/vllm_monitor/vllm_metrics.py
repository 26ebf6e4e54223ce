"""Metrics of a program that serves a model, on prometheus_client: for offline engines and services of one's own.

`record_request` only appends. `flush` moves prometheus_client's counters, each of which takes a lock: before every read
and scrape, every second, and at the end of the process.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.registry import Collector

from vllm_monitor.nvidia import read_gpu
from vllm_monitor.process import this_process
from vllm_monitor.requests import RecordedRequests
from vllm_monitor.stats import LATENCY, SHORT

FLUSH_SECONDS = 1.0
MOST = 8192  # requests that wait to be counted; then the caller counts them
LOGGER = logging.getLogger("vllm_monitor")

_lock = threading.Lock()
_registered: weakref.WeakKeyDictionary[CollectorRegistry, VLLMMetrics] = weakref.WeakKeyDictionary()

Recorded = tuple[float, str, int, "float | None"]


class VLLMMetrics(Collector):
    """The families of such a program. A later one in the same registry takes the place of the one before."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._recorded: deque[Recorded] = deque()
        self._flushing = threading.Lock()
        self._request_counter = Counter("vllm_requests", "Requests by status.", ["status"], registry=None)
        self._request_latency = Histogram(
            "vllm_request_latency_seconds",
            "Seconds from a request to the end of its answer.",
            buckets=LATENCY,
            registry=None,
        )
        self._ttft_latency = Histogram(
            "vllm_time_to_first_token_seconds", "Seconds to the first token.", buckets=SHORT, registry=None
        )
        self._tokens_generated = Counter("vllm_tokens_generated", "Tokens generated.", registry=None)
        self._throughput = Gauge(
            "vllm_throughput_tokens_per_second", "Tokens a second of the last request.", registry=None
        )
        self.gpu_utilization = _gpu_gauge("vllm_gpu_utilization_percent", "Share of time with a kernel running.")
        self.gpu_memory_used = _gpu_gauge("vllm_gpu_memory_used_bytes", "Memory in use.")
        self.gpu_memory_total = _gpu_gauge("vllm_gpu_memory_total_bytes", "Memory.")
        self.kv_cache_utilization = _gauge("vllm_kv_cache_utilization_percent", "Share of the KV cache in use.")
        self.num_running_sequences = _gauge("vllm_num_running_sequences", "Sequences that run.")
        self.num_waiting_sequences = _gauge("vllm_num_waiting_sequences", "Sequences that wait.")
        self.num_swapped_sequences = _gauge("vllm_num_swapped_sequences", "Sequences that were swapped out.")
        self.scheduler_iterations = Counter("vllm_scheduler_iterations", "Scheduler iterations.", registry=None)
        self._inside = _for_the_exporter()
        _take_place(self, registry)
        _flush_regularly(self)

    def record_request(
        self, latency: float, status: str = "success", tokens: int = 0, ttft: float | None = None
    ) -> None:
        """Counts a request. `latency` and `ttft` are in seconds; a `status` is one of a few words."""
        recorded = self._recorded
        recorded.append((latency, status, tokens, ttft))
        if len(recorded) >= MOST:
            self.flush()

    def flush(self) -> None:
        """Counts what was recorded."""
        with self._flushing:
            recorded = self._recorded
            for _ in range(len(recorded)):
                self._count(*recorded.popleft())

    def update_gpu_metrics(self, gpu_id: int = 0) -> None:
        """Reads a GPU by NVIDIA's library; without a GPU or the library it does nothing."""
        seen = read_gpu(gpu_id)
        if seen is not None:
            self.gpu_utilization.labels(gpu_id=str(gpu_id)).set(seen.utilization)
            self.gpu_memory_used.labels(gpu_id=str(gpu_id)).set(seen.memory_used)
            self.gpu_memory_total.labels(gpu_id=str(gpu_id)).set(seen.memory_total)

    def update_vllm_metrics(self, scheduler_state: Any) -> None:
        """Sets gauges from an object with num_running, num_waiting, num_swapped and kv_cache_util (0 to 1)."""
        for gauge, name, factor in (
            (self.num_running_sequences, "num_running", 1.0),
            (self.num_waiting_sequences, "num_waiting", 1.0),
            (self.num_swapped_sequences, "num_swapped", 1.0),
            (self.kv_cache_utilization, "kv_cache_util", 100.0),
        ):
            value = getattr(scheduler_state, name, None)
            if value is not None:
                gauge.set(float(value) * factor)
        self.scheduler_iterations.inc()

    @property
    def request_counter(self) -> Counter:
        """Requests by status, all that were recorded until now."""
        self.flush()
        return self._request_counter

    @property
    def request_latency(self) -> Histogram:
        """Latencies of all requests that were recorded until now."""
        self.flush()
        return self._request_latency

    @property
    def ttft_latency(self) -> Histogram:
        """Times to the first token, of all requests that were recorded with one until now."""
        self.flush()
        return self._ttft_latency

    @property
    def tokens_generated(self) -> Counter:
        """Tokens of all requests that were recorded until now."""
        self.flush()
        return self._tokens_generated

    @property
    def throughput(self) -> Gauge:
        """Tokens a second of the request that was recorded last."""
        self.flush()
        return self._throughput

    def collect(self) -> Iterable[Any]:
        """Yields all families, after counting what was recorded."""
        self.flush()
        for each in vars(self).values():
            if isinstance(each, Counter | Gauge | Histogram):
                yield from each.collect()

    def _count(self, latency: float, status: str, tokens: int, ttft: float | None) -> None:
        if self._inside is not None:
            self._inside.append((latency, status, tokens, ttft))
        self._request_counter.labels(status=status).inc()
        self._request_latency.observe(latency)
        if ttft is not None:
            self._ttft_latency.observe(ttft)
        if tokens:
            self._tokens_generated.inc(tokens)
            if latency > 0:
                self._throughput.set(tokens / latency)


def start_metrics_server(port: int = 9090, addr: str = "127.0.0.1", registry: CollectorRegistry = REGISTRY) -> Any:
    """Serves /metrics on a port, on loopback unless told otherwise. Raises OSError when the port is taken."""
    if port == 9090:
        LOGGER.warning("vllm_monitor: 9090 is also Prometheus' own port; where it runs on this host, choose another")
    return start_http_server(port, addr, registry)


def gpu_metrics_updater(gpu_id: int = 0, interval: float = 5, stop: threading.Event | None = None) -> None:
    """Updates the GPU's gauges of `metrics` every `interval` seconds until `stop` is set: the target of a thread."""
    stop = stop or threading.Event()
    while True:
        metrics.update_gpu_metrics(gpu_id)
        if stop.wait(interval):
            return


def _for_the_exporter() -> RecordedRequests | None:
    """Returns where requests go besides, or None without the directory of snapshot files."""
    try:
        process = this_process()
    except OSError as error:
        LOGGER.warning("vllm_monitor: the exporter cannot see this process: %s", error)
        return None
    if process is None:
        return None
    recorded = RecordedRequests(process.background.series)
    process.background.add(recorded)
    process.background.start()
    return recorded


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(name, text, registry=None)


def _gpu_gauge(name: str, text: str) -> Gauge:
    return Gauge(name, text, ["gpu_id"], registry=None)


def _take_place(new: VLLMMetrics, registry: CollectorRegistry) -> None:
    with _lock:
        old = _registered.get(registry)
        if old is not None:
            registry.unregister(old)
        registry.register(new)
        _registered[registry] = new


def _flush_regularly(one: VLLMMetrics) -> None:
    """Flushes every second and at the end, for those who read without asking, such as prometheus_client's own files."""
    reference = weakref.ref(one)
    threading.Thread(target=_flusher, args=(reference,), name="vllm-metrics", daemon=True).start()
    atexit.register(_flush, reference)


def _flusher(reference: Callable[[], VLLMMetrics | None]) -> None:
    while _flush(reference):
        time.sleep(FLUSH_SECONDS)


def _flush(reference: Callable[[], VLLMMetrics | None]) -> bool:
    one = reference()
    if one is not None:
        one.flush()
    return one is not None


metrics = VLLMMetrics()

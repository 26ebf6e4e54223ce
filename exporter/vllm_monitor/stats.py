"""Counts what vLLM's scheduler and its output processor say of a step.

vLLM calls these classes unstable: names and meanings changed in a dozen releases. So each attribute is read by itself,
from any of the names that it had, and what is absent, raises, or is no number of the right kind is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vllm_monitor.series import Series

# Bounds in seconds. vLLM's own begin at 0.3 s for queue, prefill and decode: what is below is one bucket there.
LATENCY = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
BATCH = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
TOKENS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0)

MOST = 65_536  # items of a list that are read; a step has no more requests
LARGEST = 1e15
ENGINES = 256
ADAPTERS = 32

DURATIONS = {  # of a finished request: attribute to family
    "queued_time": "vllm_request_queue_seconds",
    "prefill_time": "vllm_request_prefill_seconds",
    "decode_time": "vllm_request_decode_seconds",
}
WAITING = ("num_waiting_reqs", "num_skipped_waiting_reqs")
PREFIX = {"queries": "queried", "hits": "hit"}
SPECULATION = {"num_draft_tokens": "draft", "num_accepted_tokens": "accepted"}
STATUS = {"stop": "success", "length": "success", "repetition": "success", "abort": "aborted", "error": "error"}


@dataclass(frozen=True)
class EngineLoad:
    """The requests of an engine after its last step, and the share of its KV cache in use, 0 to 1."""

    running: float
    waiting: float
    cache: float


class StepCounter:
    """Adds the steps of all engines of a server to the series of this process."""

    def __init__(
        self,
        series: Series,
        finished: Callable[[Any], None] = lambda request: None,
        sees_each_step: bool = True,
    ) -> None:
        """`finished` takes each finished request's statistics while the middleware counts requests; `sees_each_step`:
        False with several API servers, of which an engine tells each step to one."""
        self._series = series
        self._finished_tokens = finished
        self.loads: dict[str, EngineLoad] = {}  # by engine
        self.understood = 0  # steps that had at least one attribute that is known
        self._adapters_of: dict[tuple[str, str], dict[int, float]] = {}  # requests by engine and state, and by place
        self._last: dict[
            str, tuple[float, bool]
        ] = {}  # of each engine: the end of its last step, if requests were left
        self._sees_each_step = sees_each_step
        self.requests_are_counted = False  # by the middleware, which also sees those that never reach the engine

    def count(self, at: float, scheduler: Any, iteration: Any, engine: Any) -> None:
        """Counts one step, which ended at `at` (CLOCK_MONOTONIC, seconds). Each part may be None, or anything else."""
        name = str(engine) if isinstance(engine, int) and 0 <= engine < ENGINES else "other"
        known = self._step(at, scheduler, name) if scheduler is not None else False
        known = (self._iteration(iteration, name) if iteration is not None else False) or known
        self.understood += known

    def _step(self, at: float, scheduler: Any, engine: str) -> bool:
        series = self._series
        running = number(scheduler, "num_running_reqs")
        if running is None:
            return False
        series.set(series.place("last", "vllm_engine_step_age_seconds", ENGINES, engine=engine), at)
        busy = series.place("last", "vllm_engine_busy_step_age_seconds", ENGINES, engine=engine)
        left = bool(running or any(number(scheduler, name) for name in WAITING))
        if left:
            series.set(busy, at)
        before, self._last[engine] = self._last.get(engine), (at, left)
        if before is not None and before[1] and self._sees_each_step:
            series.observe(series.histogram("vllm_engine_step_seconds", SHORT, ENGINES, engine=engine), at - before[0])
        series.count(series.place("counter", "vllm_engine_steps_total", ENGINES, engine=engine))
        series.observe(series.histogram("vllm_engine_batch_requests", BATCH), running)
        waiting = sum(number(scheduler, name) or 0.0 for name in ("num_waiting_reqs", "num_skipped_waiting_reqs"))
        cache = number(scheduler, "kv_cache_usage", "gpu_cache_usage") or 0.0
        self.loads[engine] = EngineLoad(running, waiting, cache)
        self._prefix(attribute(scheduler, "prefix_cache_stats"))
        self._speculation(attribute(scheduler, "spec_decoding_stats"))
        self._adapters(attribute(scheduler, "running_lora_adapters"), engine, "running")
        self._adapters(attribute(scheduler, "waiting_lora_adapters"), engine, "waiting")
        return True

    def _prefix(self, stats: Any) -> None:
        for name, result in PREFIX.items():
            tokens = number(stats, name)
            if tokens:
                self._series.count(
                    self._series.place("counter", "vllm_prefix_cache_tokens_total", result=result), tokens
                )

    def _speculation(self, stats: Any) -> None:
        for name, kind in SPECULATION.items():
            tokens = number(stats, name)
            if tokens:
                self._series.count(self._series.place("counter", "vllm_spec_decode_tokens_total", kind=kind), tokens)

    def _adapters(self, adapters: Any, engine: str, state: str) -> None:
        if not isinstance(adapters, Mapping):
            return
        now: dict[int, float] = {}
        for name, requests in list(adapters.items())[:MOST]:
            if isinstance(name, str) and is_number(requests):
                at = self._series.place("sum", "vllm_lora_requests", 2 * ADAPTERS, adapter=name, state=state)
                now[at] = now.get(at, 0.0) + requests
        before = self._adapters_of.get((engine, state), {})
        for at in before.keys() | now.keys():
            self._series.count(at, now.get(at, 0.0) - before.get(at, 0.0))
        self._adapters_of[engine, state] = now

    def _iteration(self, stats: Any, engine: str) -> bool:
        series = self._series
        generated = number(stats, "num_generation_tokens")
        if generated is None:
            return False
        prompt = number(stats, "num_prompt_tokens") or number(attribute(stats, "prompt_token_stats"), "computed") or 0.0
        if generated:
            series.count(series.place("counter", "vllm_tokens_generated_total"), generated)
        if generated or prompt:
            series.observe(series.histogram("vllm_engine_batch_tokens", TOKENS), generated + prompt)
        preempted = number(stats, "num_preempted_reqs")
        if preempted:
            series.count(series.place("counter", "vllm_preemptions_total"), preempted)
        if not self.requests_are_counted:
            self._observe_all("vllm_time_to_first_token_seconds", SHORT, attribute(stats, "time_to_first_tokens_iter"))
        gaps = attribute(stats, "inter_token_latencies_iter") or attribute(stats, "time_per_output_tokens_iter")
        self._observe_all("vllm_inter_token_seconds", SHORT, gaps)
        for request in items(attribute(stats, "finished_requests")):
            self._finished(request)
        return True

    def _observe_all(self, family: str, bounds: tuple[float, ...], found: Any) -> None:
        values = [one for one in items(found) if is_number(one)]
        if values:
            histogram = self._series.histogram(family, bounds)
            for value in values:
                self._series.observe(histogram, value)

    def _finished(self, request: Any) -> None:
        series = self._series
        for name, family in DURATIONS.items():
            seconds = number(request, name)
            if seconds is not None:
                series.observe(series.histogram(family, SHORT), seconds)
        if self.requests_are_counted:
            self._finished_tokens(request)
            return
        status = STATUS.get(str(attribute(request, "finish_reason")).lower(), "other")
        series.count(series.place("counter", "vllm_requests_total", status=status))
        latency = number(request, "e2e_latency")
        if latency is not None:
            series.observe(series.histogram("vllm_request_latency_seconds", LATENCY), latency)


def attribute(owner: Any, *names: str) -> Any:
    """Returns the first of the attributes that is there, or None. It never raises, whatever reading one does."""
    for name in names:
        try:
            found = getattr(owner, name, None)
        except Exception:  # noqa: BLE001 - a property may raise anything
            continue
        if found is not None:
            return found
    return None


def number(owner: Any, *names: str) -> float | None:
    """Returns an attribute that is a finite number and not negative, or None."""
    found = attribute(owner, *names)
    return float(found) if is_number(found) else None


def is_number(value: Any) -> bool:
    """True for a finite number that is not negative. A bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LARGEST  # NaN is not


def items(value: Any) -> Iterable[Any]:
    """Returns what a list or tuple holds, MOST at most; nothing for anything else."""
    return value[:MOST] if isinstance(value, list | tuple) else ()

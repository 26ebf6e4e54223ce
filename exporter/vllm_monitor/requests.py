"""Counts the requests of an API server: how each ended, and which are on their way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vllm_monitor.body_scan import UNKNOWN
from vllm_monitor.failures import failed_request
from vllm_monitor.lines import Lines
from vllm_monitor.names import MOST as MOST_NAMES
from vllm_monitor.names import BoundedNames
from vllm_monitor.outcomes import Exchange, error_type
from vllm_monitor.series import Series
from vllm_monitor.stats import LATENCY, SHORT
from vllm_monitor.tenants import NONE
from vllm_monitor.throttle import charge
from vllm_monitor.tokens import FinishedTokens, request_id

if TYPE_CHECKING:
    from vllm_monitor.request_log import RequestLog

PHASES = ("waiting", "answering")  # for an answer, or for its end
NO_SCOPE: Mapping[str, Any] = {}
TENANT_LATENCY = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds; few, for there are as many as tenants
BYTES_A_TOKEN = 4  # of English text, about
MOST = 4096  # ended requests that wait to be counted: 250 ms at 16,000 a second


class RecordedRequests:
    """Counts requests that a program recorded itself, for the exporter."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._recorded: deque[tuple[float, str, int, float | None]] = deque(maxlen=MOST)
        self.append = self._recorded.append

    def __call__(self, now: float) -> Iterator[None]:
        """Counts what was recorded."""
        series = self._series
        for _ in range(len(self._recorded)):
            latency, status, tokens, first = self._recorded.popleft()
            series.count(series.place("counter", "vllm_requests_total", 16, status=status))
            series.observe(series.histogram("vllm_request_latency_seconds", LATENCY), latency)
            if first is not None:
                series.observe(series.histogram("vllm_time_to_first_token_seconds", SHORT), first)
            series.count(series.place("counter", "vllm_tokens_generated_total"), tokens)
            yield


class Requests:
    """What the event loop begins and ends costs two entries; the rest is counted by the thread of this process."""

    def __init__(
        self,
        series: Series,
        lines: Lines,
        finished: FinishedTokens,
        log: RequestLog | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.log = log
        self._series = series
        self._lines = lines
        self._finished = finished
        self._wall = wall
        self._ended: deque[Exchange] = deque(maxlen=MOST)
        self._early: list[Exchange] = []  # counted at the next round, whether or not their tokens are known by then
        self._on_their_way: dict[int, Exchange] = {}
        self._number = 0  # of ended requests, to see which were pushed out
        self._counted = 0
        self._tenants = BoundedNames(NONE)
        self._models = BoundedNames(UNKNOWN)

    def begin(self, now: float, scope: Mapping[str, Any], tenant: str = NONE) -> Exchange:
        """Returns the exchange of a request that begins. `scope` is that of ASGI."""
        exchange = Exchange(now, tenant=tenant, scope=scope)
        self._on_their_way[id(exchange)] = exchange
        return exchange

    def end(self, exchange: Exchange, now: float) -> None:
        """Takes a request whose application has returned."""
        exchange.ended, exchange.path, exchange.id = now, exchange.scope["path"], request_id(exchange.scope)
        exchange.scope = NO_SCOPE  # it has the key
        self._on_their_way.pop(id(exchange), None)
        self._number += 1
        self._ended.append(exchange)

    def others(self, exchange: Exchange) -> Iterator[Exchange]:
        """Yields those on their way beside this one."""
        return (one for one in self._on_their_way.values() if one is not exchange)

    def __call__(self, now: float) -> Iterator[None]:
        """Counts what has ended, and looks at what has not."""
        early, self._early = self._early, []
        for exchange in early:
            yield from self._one(exchange, now)
        for _ in range(len(self._ended)):
            exchange = self._ended.popleft()
            # An answer may be out a moment before the engine's statistics of it.
            if error_type(exchange) is None and self._finished.expects(exchange.id):
                self._early.append(exchange)
            else:
                yield from self._one(exchange, now)
        lost = self._number - self._counted - len(self._ended) - len(self._early)
        self._series.set(self._series.place("counter", "vllm_inside_requests_lost_total"), float(max(0, lost)))
        self._look(now)

    def _one(self, exchange: Exchange, now: float) -> Iterator[None]:
        self._count(exchange, now)
        self._counted += 1
        yield

    def _count(self, exchange: Exchange, now: float) -> None:
        series = self._series
        failure = error_type(exchange)
        exchange.tokens = self._finished.take(exchange.id) or exchange.tokens
        if self.log is not None:
            self.log.completed(exchange, failure)
        charge(exchange, exchange.tokens.output if exchange.tokens is not None else estimated_tokens(exchange))
        status = "success" if failure is None else "aborted" if failure == "client_abort" else "error"
        series.count(series.place("counter", "vllm_requests_total", status=status))
        tenant, model = self._count_asker(exchange, status)
        if failure is not None:
            series.count(series.place("counter", "vllm_request_errors_total", type=failure))
            line = failed_request(exchange, failure, self._wall() - (now - exchange.ended))
            self._lines.write({**line, "tenant": tenant, "model_name": model}, now)
            return
        seconds = exchange.ended - exchange.began
        series.observe(series.histogram("vllm_request_latency_seconds", LATENCY), seconds)
        of_tenant = series.histogram("vllm_tenant_latency_seconds", TENANT_LATENCY, MOST_NAMES + 1, tenant=tenant)
        series.observe(of_tenant, seconds)
        if exchange.first:
            series.observe(series.histogram("vllm_time_to_first_token_seconds", SHORT), exchange.first - exchange.began)

    def _count_asker(self, exchange: Exchange, status: str) -> tuple[str, str]:
        """Counts by tenant and by model, and returns both as they are named there.

        Only those that the server answered may take a place of their own.
        """
        series, served = self._series, status == "success"
        tenant = self._tenants.name(exchange.tenant, served)
        model = self._models.name(exchange.model, served)
        most = 3 * (MOST_NAMES + 1)  # each with three statuses, and 'other'
        series.count(series.place("counter", "vllm_tenant_requests_total", most, tenant=tenant, status=status))
        series.count(series.place("counter", "vllm_model_requests_total", most, model_name=model, status=status))
        if exchange.tokens is not None:
            for kind, tokens in (("prompt", exchange.tokens.prompt), ("output", exchange.tokens.output)):
                series.count(
                    series.place("counter", "vllm_tenant_tokens_total", most, tenant=tenant, kind=kind), tokens
                )
        return tenant, model

    def _look(self, now: float) -> None:
        series, now_there = self._series, list(self._on_their_way.values())
        for one in now_there:
            charge(one, estimated_tokens(one))
        for phase in PHASES:
            begun = [one.began for one in now_there if bool(one.first) == (phase == "answering")]
            series.set(series.place("sum", "vllm_requests_in_flight", phase=phase), float(len(begun)))
            oldest = max(0.0, now - min(begun)) if begun else 0.0
            series.set(series.place("max", "vllm_request_oldest_seconds", phase=phase), oldest)


def estimated_tokens(exchange: Exchange) -> float:
    """Returns about how many tokens an answer had until now: a stream has a part for each, and one word has two."""
    return float(exchange.parts or exchange.size // BYTES_A_TOKEN)

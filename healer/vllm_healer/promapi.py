"""Prometheus' HTTP API: asks what it knows of a server, with the age of each sample."""

from __future__ import annotations

import time
from collections.abc import Callable

from vllm_healer.jsonapi import JsonApi
from vllm_healer.model import Signals
from vllm_healer.net.http_config import HttpConfig
from vllm_healer.promql import healthy_query, parse_healthy, parse_signals, signals_query

TIMEOUT = 5.0  # seconds; these queries take milliseconds, and an action waits for them


class Prometheus:
    """Implements the port Metrics."""

    def __init__(
        self,
        url: str,
        timeout: float = TIMEOUT,
        http_config: HttpConfig | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`wall` tells the time where an answer does not, as all known servers do."""
        self._wall = wall
        self._api = JsonApi(url, "Prometheus", "prometheus_http_config", timeout, http_config or HttpConfig())

    def signals(self, server: str, more: frozenset[str]) -> Signals:
        return parse_signals(*self._query(signals_query(server, more)), self._api.who)

    def healthy(self, servers: frozenset[str], max_age: float) -> frozenset[str]:
        if not servers:
            return frozenset()
        return parse_healthy(*self._query(healthy_query(servers)), max_age, self._api.who) & servers

    def _query(self, query: str) -> tuple[object, float]:
        """The answer and when it was given, by the clock of who gave it: the healer's may differ."""
        reply = self._api.query("/api/v1/query", {"query": query})
        return reply.document, self._wall() if reply.date is None else reply.date

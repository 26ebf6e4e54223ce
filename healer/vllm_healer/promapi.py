"""Prometheus' HTTP API: asks what it knows of a server, with the age of each sample."""

from __future__ import annotations

from vllm_healer.jsonapi import ask
from vllm_healer.model import Signals
from vllm_healer.promql import healthy_query, parse_healthy, parse_signals, signals_query

TIMEOUT = 5.0  # seconds; these queries take milliseconds, and an action waits for them


class Prometheus:
    """Implements the port Metrics."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout

    def signals(self, server: str, more: frozenset[str]) -> Signals:
        return parse_signals(self._query(signals_query(server, more)), self._who)

    def healthy(self, servers: frozenset[str], max_age: float) -> frozenset[str]:
        if not servers:
            return frozenset()
        return parse_healthy(self._query(healthy_query(servers)), max_age, self._who) & servers

    def _query(self, query: str) -> object:
        """Sends a query by POST: for a pool of many servers it is longer than some proxies allow in an address."""
        return ask("POST", f"{self._url}/api/v1/query", self._who, self._timeout, form={"query": query})

    @property
    def _who(self) -> str:
        return f"Prometheus at {self._url}"

"""Probes of every configured server: health, canary, progress, and the sequences that vLLM reports."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_exporter.addresses import split_address
from vllm_exporter.canaries import CanaryState
from vllm_exporter.collector import Collector, Context
from vllm_exporter.config import TargetConfig
from vllm_exporter.engine import EngineValues
from vllm_exporter.errors import NoData
from vllm_exporter.family import Family, Sample
from vllm_exporter.log import log
from vllm_exporter.names import probe as names
from vllm_exporter.progress import HEALTH_RESULTS, Verdict
from vllm_exporter.sources.http import Origin
from vllm_exporter.sources.vllm_api import HttpVllmApi
from vllm_exporter.sources.watch import Sighting, Watch

FIRST_LOOK = 2.0  # seconds the first collection waits for all servers together, so that `vllm-exporter once` shows them


class ProbeCollector(Collector):
    """One thread per server does the work; this only renders what they saw last."""

    metrics = (
        names.PROBE_HEALTH,
        names.PROBE_HEALTH_SECONDS,
        names.CANARY_SUCCESS,
        names.CANARY_SECONDS,
        names.CANARY_CONSECUTIVE_FAILURES,
        names.CANARY_REQUESTS_TOTAL,
        names.SERVER_PROGRESS_AGE_SECONDS,
        names.SERVER_WORK_PRESENT,
        names.SERVER_STALLED,
        names.SERVER_STALL_LIMIT_SECONDS,
        names.SERVER_READY,
        names.SERVER_READY_AGE_SECONDS,
        names.SERVER_PAUSED,
        names.SERVER_SLEEPING,
        names.SERVER_METRICS_READABLE,
        names.NUM_RUNNING_SEQUENCES,
        names.NUM_WAITING_SEQUENCES,
        names.NUM_SWAPPED_SEQUENCES,
        names.KV_CACHE_UTILIZATION_PERCENT,
        names.SCHEDULER_ITERATIONS_TOTAL,
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        probe = context.config.probe
        self._watches = [
            Watch(
                target.server,
                HttpVllmApi(origin(target), probe.health_timeout, probe.canary_timeout),
                probe,
                target.canary,
                context.clock,
            )
            for target in context.config.targets
        ]
        self._problems: dict[str, str] = {}
        self._waited = False

    def collect(self) -> Iterator[Sample]:
        if not self._watches:
            raise NoData("no server is configured; set VLLM_TARGETS, such as localhost:8000")
        self._keep_watching()
        for watch in self._watches:
            sighting = watch.sighting()
            if sighting is not None:
                self._tell(watch.name, sighting.problem)
                yield from render(watch.name, sighting)

    def close(self) -> None:
        for watch in self._watches:
            watch.close()

    def _keep_watching(self) -> None:
        """All are started before the first is waited for, and they are waited for once only."""
        for watch in self._watches:
            if watch.start():
                log("error", "probe thread died and was started again", server=watch.name)
        if self._waited:
            return
        self._waited = True
        deadline = self.context.clock.monotonic() + FIRST_LOOK
        for watch in self._watches:
            watch.wait(max(0.0, deadline - self.context.clock.monotonic()))

    def _tell(self, server: str, problem: str) -> None:
        """One line when a server's /metrics becomes unreadable, and when it can be read again."""
        if problem == self._problems.get(server, ""):
            return
        self._problems[server] = problem
        if problem:
            log("warning", "metrics of the server cannot be read", server=server, reason=problem)
        else:
            log("info", "metrics of the server can be read again", server=server)


def origin(target: TargetConfig) -> Origin:
    host, port = split_address(target.address, f"target {target.address!r}")
    return Origin(host, port, target.scheme == "https", target.ca_file, target.api_key_file)


def render(server: str, sighting: Sighting) -> Iterator[Sample]:
    """All series of one server; what is not known is left out."""
    verdict = sighting.verdict
    for result in HEALTH_RESULTS:
        yield names.PROBE_HEALTH.sample(result == verdict.health, server=server, result=result)
    yield names.PROBE_HEALTH_SECONDS.sample(sighting.health_seconds, server=server)
    yield names.SERVER_READY.sample(verdict.health == "ok", server=server)
    yield names.SERVER_METRICS_READABLE.sample(sighting.values is not None, server=server)
    yield from _render_verdict(server, verdict)
    yield from _render_canary(server, verdict.canary)
    if sighting.values is not None:
        yield from _render_values(server, sighting.values)


def _render_verdict(server: str, verdict: Verdict) -> Iterator[Sample]:
    return _known(
        server,
        (names.SERVER_READY_AGE_SECONDS, verdict.ready_age),
        (names.SERVER_PROGRESS_AGE_SECONDS, verdict.progress_age),
        (names.SERVER_WORK_PRESENT, verdict.work),
        (names.SERVER_STALL_LIMIT_SECONDS, verdict.limit),
        (names.SERVER_STALLED, verdict.stalled),
        (names.SERVER_PAUSED, verdict.paused),
        (names.SERVER_SLEEPING, verdict.sleeping),
    )


def _render_canary(server: str, canary: CanaryState) -> Iterator[Sample]:
    for result, count in canary.totals.items():
        yield names.CANARY_REQUESTS_TOTAL.sample(count, server=server, result=result)
    if canary.result is not None and canary.result != "not_applicable":
        yield names.CANARY_SUCCESS.sample(canary.result == "ok", server=server)
        yield names.CANARY_SECONDS.sample(canary.seconds, server=server)
        yield names.CANARY_CONSECUTIVE_FAILURES.sample(canary.failures, server=server)


def _render_values(server: str, values: EngineValues) -> Iterator[Sample]:
    return _known(
        server,
        (names.NUM_RUNNING_SEQUENCES, values.running),
        (names.NUM_WAITING_SEQUENCES, values.waiting),
        (names.NUM_SWAPPED_SEQUENCES, values.swapped),
        (names.KV_CACHE_UTILIZATION_PERCENT, None if values.kv_usage is None else 100 * values.kv_usage),
        (names.SCHEDULER_ITERATIONS_TOTAL, values.iterations),
    )


def _known(server: str, *pairs: tuple[Family, float | None]) -> Iterator[Sample]:
    return (family.sample(value, server=server) for family, value in pairs if value is not None)

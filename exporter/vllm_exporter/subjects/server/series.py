"""The samples of one server. Values that are not known are left out. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.facts.values import HEALTH_RESULTS, EngineValues
from vllm_exporter.metrics.family import Family, Row
from vllm_exporter.subjects.server import families as names
from vllm_exporter.subjects.server.api import ServerInfo
from vllm_exporter.subjects.server.canaries import CanaryState
from vllm_exporter.subjects.server.engine import EngineReading
from vllm_exporter.subjects.server.watch import ProbeResult


def rows(server: str, sighting: ProbeResult) -> Iterator[Row]:
    """Yields all samples of one server."""
    sight, of_server = sighting.sight, (server,)
    for result in HEALTH_RESULTS:
        yield (names.PROBE_HEALTH, (server, result)), result == sight.health
    yield (names.PROBE_HEALTH_SECONDS, of_server), sighting.health_seconds
    yield from _known(server, (names.SERVER_UNACCEPTED_CONNECTIONS, sighting.unaccepted))
    yield (names.SERVER_READY, of_server), sight.health == "ok"
    yield (names.SERVER_METRICS_READABLE, of_server), sight.values is not None
    yield from _progress(server, sight)
    yield from _canary(server, sighting.canary)
    for probe, answer in sighting.deep.items():
        yield (names.DEEP_PROBE_SUCCESS, (server, probe)), answer.answered
        yield (names.DEEP_PROBE_SECONDS, (server, probe)), answer.seconds
    yield from _about(server, sighting.about)
    if sight.values is not None:
        yield from _values(server, sight.values)
    if sighting.reading is not None:
        yield from _blocks(server, sighting.reading, sighting)


def _progress(server: str, sight: ServerSight) -> Iterator[Row]:
    yield from _known(
        server,
        (names.SERVER_READY_AGE_SECONDS, sight.ready_age),
        (names.SERVER_PROGRESS_AGE_SECONDS, sight.progress_age),
        (names.SERVER_WORK_PRESENT, sight.work),
        (names.SERVER_STALL_LIMIT_SECONDS, sight.stall_limit),
        (names.SERVER_STALLED, sight.stalled),
        (names.SERVER_PAUSED, sight.paused),
        (names.SERVER_SLEEPING, sight.sleeping),
    )
    for engine, age in sight.engine_ages.items():
        yield (names.ENGINE_PROGRESS_AGE_SECONDS, (server, engine)), age


def _canary(server: str, canary: CanaryState) -> Iterator[Row]:
    for result, count in canary.totals.items():
        yield (names.CANARY_REQUESTS_TOTAL, (server, result)), count
    yield (names.CANARY_PROMPT_TOKENS_TOTAL, (server,)), canary.prompt_tokens
    yield (names.CANARY_GENERATION_TOKENS_TOTAL, (server,)), canary.generation_tokens
    if canary.result is not None and canary.result != "not_applicable":
        yield (names.CANARY_SUCCESS, (server,)), canary.result == "ok"
        yield (names.CANARY_SECONDS, (server,)), canary.seconds
        yield (names.CANARY_CONSECUTIVE_FAILURES, (server,)), canary.failures
        yield from _known(server, (names.CANARY_TIME_TO_FIRST_TOKEN_SECONDS, canary.first_token))


def _about(server: str, about: ServerInfo) -> Iterator[Row]:
    if about.version or about.models:
        yield (names.SERVER_INFO, (server, about.version, about.models[0] if about.models else "")), 1
    for model in dict.fromkeys(about.models):
        yield (names.SERVER_MODEL, (server, model)), 1
    yield from _known(server, (names.SERVER_LOAD_REQUESTS, about.load))


def _values(server: str, values: EngineValues) -> Iterator[Row]:
    return _known(
        server,
        (names.NUM_RUNNING_SEQUENCES, values.running),
        (names.NUM_WAITING_SEQUENCES, values.waiting),
        (names.NUM_SWAPPED_SEQUENCES, values.swapped),
        (names.KV_CACHE_UTILIZATION_PERCENT, _percent(values.kv_usage)),
        (names.SCHEDULER_ITERATIONS_TOTAL, values.iterations),
    )


def _percent(share: float | None) -> float | None:
    """Returns 0 to 100; None for a share that cannot be."""
    return 100 * share if share is not None and 0 <= share <= 1 else None


def _blocks(server: str, reading: EngineReading, sighting: ProbeResult) -> Iterator[Row]:
    for engine, blocks in reading.blocks.items():
        for state, count in (("total", blocks.total), ("used", blocks.used), ("free", blocks.free)):
            yield (names.KV_BLOCKS, (server, engine, state)), count
        if engine in sighting.traffic:
            traffic = sighting.traffic[engine]
            yield (names.KV_BLOCKS_ALLOCATED_TOTAL, (server, engine)), traffic.allocated
            yield (names.KV_BLOCKS_RELEASED_TOTAL, (server, engine)), traffic.released


def _known(server: str, *pairs: tuple[Family, float | None]) -> Iterator[Row]:
    return (((family, (server,)), value) for family, value in pairs if value is not None)

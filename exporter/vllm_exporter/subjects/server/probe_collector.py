"""Probes of every configured server: health, canary, progress, and the sequences that vLLM reports."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

from vllm_exporter.config.addresses import split_address
from vllm_exporter.config.config import TargetConfig
from vllm_exporter.config.local_servers import local_ports
from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import RequestsFailed
from vllm_exporter.facts.facts import EngineSteps, Gpus, Sights, Trees
from vllm_exporter.linux.accept_queue import unaccepted
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Row
from vllm_exporter.net.http import Origin
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.server import families as names
from vllm_exporter.subjects.server.api import HttpVllmApi
from vllm_exporter.subjects.server.failed_requests import FailedRequests
from vllm_exporter.subjects.server.gaps import EngineEffort
from vllm_exporter.subjects.server.incarnation import Identity
from vllm_exporter.subjects.server.memory import ProbeMemory
from vllm_exporter.subjects.server.series import rows
from vllm_exporter.subjects.server.watch import ProbeResult, Watch

FIRST_LOOK = 2.0  # seconds the first collection waits for all servers together, so that `vllm-exporter once` shows them


class ProbeCollector(Collector):
    """One thread per server does the work; this only yields their last results, 30 µs a server."""

    metrics = (
        names.PROBE_HEALTH,
        names.PROBE_HEALTH_SECONDS,
        names.CANARY_SUCCESS,
        names.CANARY_SECONDS,
        names.CANARY_TIME_TO_FIRST_TOKEN_SECONDS,
        names.CANARY_CONSECUTIVE_FAILURES,
        names.CANARY_REQUESTS_TOTAL,
        names.CANARY_PROMPT_TOKENS_TOTAL,
        names.CANARY_GENERATION_TOKENS_TOTAL,
        names.DEEP_PROBE_SUCCESS,
        names.DEEP_PROBE_SECONDS,
        names.SERVER_INFO,
        names.SERVER_MODEL,
        names.SERVER_LOAD_REQUESTS,
        names.SERVER_PROGRESS_AGE_SECONDS,
        names.ENGINE_PROGRESS_AGE_SECONDS,
        names.SERVER_WORK_PRESENT,
        names.SERVER_STALLED,
        names.SERVER_STALL_LIMIT_SECONDS,
        names.SERVER_READY,
        names.SERVER_READY_AGE_SECONDS,
        names.SERVER_PAUSED,
        names.SERVER_SLEEPING,
        names.SERVER_UNACCEPTED_CONNECTIONS,
        names.SERVER_METRICS_READABLE,
        names.NUM_RUNNING_SEQUENCES,
        names.NUM_WAITING_SEQUENCES,
        names.NUM_SWAPPED_SEQUENCES,
        names.KV_CACHE_UTILIZATION_PERCENT,
        names.SCHEDULER_ITERATIONS_TOTAL,
        names.KV_BLOCKS,
        names.KV_BLOCKS_ALLOCATED_TOTAL,
        names.KV_BLOCKS_RELEASED_TOTAL,
    )

    turn = 2  # processes, GPUs and steps come first

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        probe = context.config.probe
        self._memory = ProbeMemory(context.config.state_dir, context.proc)
        known = self._memory.recall(context.clock.monotonic()) if context.config.targets else {}
        ports = local_ports(context.config.targets, socket.gethostname())
        self._watches = [
            Watch(
                target.server,
                HttpVllmApi(origin(target), probe.health_timeout, probe.canary_timeout),
                probe,
                target.canary,
                context.clock,
                target.deep_probes,
                known.get(target.server),
                partial(unaccepted, ports[target.server]) if target.server in ports else lambda: None,
            )
            for target in context.config.targets
        ]
        self._problems: dict[str, str] = {}
        self._failed = {watch.name: FailedRequests() for watch in self._watches}
        self._trees: Trees | None = None
        self._steps: EngineSteps | None = None
        self._waited = False

    def collect(self) -> Iterator[Row]:
        if not self._watches:
            raise NoData("no server is configured; set VLLM_TARGETS, such as localhost:8000")
        self._keep_watching()
        self._tell_processes()
        self._tell_steps()
        if self._memory.due(self.context.clock.monotonic()):
            self._keep_memory()
        seen = {watch.name: watch.sighting() for watch in self._watches}
        known = {server: sighting for server, sighting in seen.items() if sighting is not None}
        self.context.board.post(Sights({server: sighting.sight for server, sighting in known.items()}))
        for server, sighting in known.items():
            self._tell(server, sighting.sight.problem)
            self._tell_failed(server, sighting)
            yield from rows(server, sighting)

    def close(self) -> None:
        for watch in self._watches:
            watch.close()
        self._keep_memory()

    def _keep_memory(self) -> None:
        found = {watch.name: watch.memory() for watch in self._watches}
        known = {server: memory for server, memory in found.items() if memory is not None}
        self._memory.keep(known)

    def _tell_processes(self) -> None:
        """Passes on the processes: several API servers report no start in /metrics, so that these identify them, and
        what they use shows whether an engine that is silent works."""
        trees = self.context.board.latest(Trees)
        if trees is None or trees is self._trees:
            return
        self._trees = trees
        mains = trees.mains()
        for watch in self._watches:
            if watch.name in mains:
                watch.saw_process(Identity(ref=mains[watch.name].ref))
            effort = choose_effort(watch.name, trees, self.context.board.latest(Gpus))
            if effort is not None:
                watch.saw_effort(effort)

    def _tell_steps(self) -> None:
        """Passes on each report of the engines' steps once."""
        steps = self.context.board.latest(EngineSteps)
        if steps is None or steps is self._steps:
            return
        self._steps = steps
        for watch in self._watches:
            if watch.name in steps.servers:
                watch.saw_steps(steps.servers[watch.name])

    def _keep_watching(self) -> None:
        """Starts all threads before it waits for the first result, and waits once only."""
        for watch in self._watches:
            if watch.start():
                log("error", "probe thread died and was restarted", server=watch.name)
        if self._waited:
            return
        self._waited = True
        deadline = self.context.clock.monotonic() + FIRST_LOOK
        for watch in self._watches:
            watch.wait(max(0.0, deadline - self.context.clock.monotonic()))

    def _tell(self, server: str, problem: str) -> None:
        """Logs one line when a server's /metrics becomes unreadable, and when it can be read again."""
        if problem == self._problems.get(server, ""):
            return
        self._problems[server] = problem
        if problem:
            log("warning", "metrics of the server cannot be read", server=server, reason=problem)
        else:
            log("info", "metrics of the server can be read again", server=server)

    def _tell_failed(self, server: str, sighting: ProbeResult) -> None:
        """Emits an event about requests that were answered with 5xx, every ten seconds at most."""
        if sighting.reading is None or sighting.reading.failed is None:
            return
        now, errors = self.context.clock.monotonic(), sighting.canary.totals.get("error", 0)
        count = self._failed[server].saw(now, sighting.reading.failed, errors)
        if count:
            words = f"{server}: {count} {'request' if count == 1 else 'requests'} answered with 5xx"
            event = RequestsFailed(
                severity="warning", summary=words, server=server, model_name=sighting.sight.model_name, count=count
            )
            self.context.bus.emit(event)


def choose_effort(server: str, trees: Trees, gpus: Gpus | None) -> EngineEffort | None:
    """Returns what the engines and workers of a server use; None when none of them is on this host."""
    computing = [
        one for one in trees.processes.values() if one.server == server and one.role in ("engine_core", "worker")
    ]
    if not computing:
        return None
    pids = {one.ref.pid for one in computing}
    busy = [
        gpu.utilization
        for gpu in (gpus.gpus if gpus else ())
        if gpu.utilization is not None and pids & (gpu.pids or {}).keys()
    ]
    stopped = any(one.state in ("T", "t") for one in computing)
    return EngineEffort(sum(one.cpu_seconds for one in computing), stopped, max(busy, default=None))


def origin(target: TargetConfig) -> Origin:
    host, port = split_address(target.address, f"target {target.address!r}")
    https = target.scheme == "https"
    return Origin(host, port, https, target.ca_file, target.api_key_file, target.monitor_token_file)

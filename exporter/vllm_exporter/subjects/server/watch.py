"""Watches one vLLM server from a thread of its own, so that a server that hangs delays no other's probes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from vllm_exporter.clock import Clock
from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.errors import SourceError
from vllm_exporter.facts.facts import ServerSight, ServerSteps
from vllm_exporter.facts.values import Health
from vllm_exporter.run.periodic import PeriodicTask
from vllm_exporter.subjects.server.api import (
    DEEP_PROBES,
    NO_FAMILIES,
    NOTHING_SAID,
    DeepAnswer,
    DeepProbe,
    ServerInfo,
    VllmApi,
)
from vllm_exporter.subjects.server.canaries import NO_TOKENS, CanaryResult, CanaryState
from vllm_exporter.subjects.server.engine import BlockTraffic, EngineReading
from vllm_exporter.subjects.server.gaps import EngineEffort
from vllm_exporter.subjects.server.incarnation import Identity, Memory
from vllm_exporter.subjects.server.progress import Progress

JOIN_TIMEOUT = 0.5  # seconds at shutdown; threads are daemons: one that waits for an answer ends with the process
ABOUT_SECONDS = 300.0  # between two requests for version, models and load: they change with a restart, or by hand
LOAD_SECONDS = 15.0  # the same once /load has reported more than 0: the server counts then
DEEP_SECONDS = 15.0  # between two deep probes, each of which goes through the engine to every worker


@dataclass(frozen=True)
class BlockCounts:
    """KV blocks that an engine took and gave back, as far as it was seen."""

    allocated: int
    released: int


@dataclass(frozen=True)
class ProbeResult:
    """The latest results of one server: the facts for others, and values that only its own series show."""

    sight: ServerSight
    canary: CanaryState
    health_seconds: float = 0.0
    reading: EngineReading | None = None  # of the last look only, by engine; None: /metrics was not readable in it
    traffic: Mapping[str, BlockCounts] = field(default_factory=dict)  # by engine
    about: ServerInfo = NOTHING_SAID
    deep: Mapping[DeepProbe, DeepAnswer] = field(default_factory=dict)  # those that the server offers
    unaccepted: int | None = None  # connections that wait to be accepted, while /health gets no answer


class Watch:
    """Watches one server. `start` starts the thread; `sighting` may be called from any other."""

    def __init__(
        self,
        name: str,
        api: VllmApi,
        probe: ProbeConfig,
        canary: bool,
        clock: Clock,
        deep: bool = False,
        memory: Memory | None = None,
        unaccepted: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`unaccepted` counts the connections that wait to be accepted, where that can be known."""
        self.name = name
        self._api = api
        self._interval = probe.interval
        self._clock = clock
        self._progress = Progress(probe, canary, memory)
        self._traffic = BlockTraffic()
        self._lock = threading.Lock()  # guards _progress and the fields below
        self._health_seconds = 0.0
        self._count_unaccepted = unaccepted
        self._unaccepted: int | None = None
        self._reading: EngineReading | None = None
        self._problem = ""
        self._about = ServerInfo()
        self._deep: dict[DeepProbe, DeepAnswer] = {}
        self._pause_supported = True
        self._ask_about = PeriodicTask(f"about {name}", self._learn, ABOUT_SECONDS)
        self._ask_deep = PeriodicTask(f"deep {name}", self._probe_deep, DEEP_SECONDS) if deep else None
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Starts the thread. Returns True if it replaces one that died of a bug, whose trace is on stderr."""
        if self._thread is not None and self._thread.is_alive():
            return False
        died = self._thread is not None
        self._thread = self._spawn(self._run, "probe")
        return died

    def wait(self, timeout: float) -> None:
        """Waits until the first look is done, at most `timeout` seconds."""
        self._looked.wait(timeout)

    def sighting(self) -> ProbeResult | None:
        """Returns the latest results; None before the first look."""
        with self._lock:
            sight = self._progress.sight(self._clock.monotonic())
            if sight.health is None:
                return None
            reading, about = self._reading, self._about
            tables = tuple(reading.blocks.values()) if reading is not None else ()
            sight = replace(
                sight,
                values=None if reading is None else reading.values,
                problem=self._problem,
                model_name=about.models[0] if about.models else "",
                version=about.version,
                blocks_used=sum(table.used for table in tables) if tables else None,
                blocks_total=sum(table.total for table in tables) if tables else None,
            )
            deep = {probe: answer for probe, answer in self._deep.items() if answer.supported}
            canary = self._progress.canary
            seconds, waiting = self._health_seconds, self._unaccepted
            return ProbeResult(sight, canary, seconds, reading, self._traffic_now(), about, deep, waiting)

    def saw_process(self, identity: Identity) -> None:
        """Learns which of this host's processes the server is, from another collector."""
        with self._lock:
            self._progress.saw_process(self._clock.monotonic(), identity)

    def saw_effort(self, effort: EngineEffort) -> None:
        """Learns what the server's processes use, from other collectors."""
        with self._lock:
            self._progress.saw_effort(self._clock.monotonic(), effort)

    def saw_steps(self, steps: ServerSteps) -> None:
        """Learns the last step of each engine, from the part inside vLLM."""
        with self._lock:
            self._progress.saw_steps(self._clock.monotonic(), steps)

    def memory(self) -> Memory | None:
        """Returns what to keep over a restart of the exporter."""
        with self._lock:
            return self._progress.memory

    def look(self) -> None:
        """Runs one round: health, metrics, then the canary and the rarer requests that are due.

        /is_paused comes before the canary: a paused server would not answer that.
        """
        health = self._look_at_health()
        self._look_at_metrics(health)
        if not self._looked.is_set():
            self._looked.set()
        self._ask_for_pause_if_due()
        self._send_canary_if_due()
        if health == "ok":
            self._run_errands()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                started = self._clock.monotonic()
                self.look()
                self._stop.wait(max(0.0, self._interval - (self._clock.monotonic() - started)))
        finally:
            self._api.close()

    def _look_at_health(self) -> Health:
        started = self._clock.monotonic()
        health = self._api.health()
        now = self._clock.monotonic()
        if health in ("refused", "503"):
            self._forget()
        waiting = self._count_unaccepted() if health == "timeout" else None
        with self._lock:
            self._health_seconds = now - started
            self._unaccepted = waiting
            self._progress.saw_health(now, health)
        return health

    def _forget(self) -> None:
        """Drops what was learned: the next process may serve another model and have other rights."""
        self._api.forget_model()
        self._pause_supported = True
        self._ask_about.hurry()
        with self._lock:
            self._about = ServerInfo()
            self._deep = {}
            self._traffic.restart()

    def _look_at_metrics(self, health: Health) -> None:
        reading: EngineReading | None = None
        problem = ""
        if health == "refused":
            problem = "connection refused"
        else:
            try:
                reading = self._api.engine()
                problem = "" if reading else NO_FAMILIES
            except SourceError as error:
                problem = str(error)
        with self._lock:
            self._reading, self._problem = reading, problem
            now = self._clock.monotonic()
            if reading is None:
                self._progress.saw_values(now, None)
                return
            engines = reading.engines if len(reading.engines) > 1 else {}
            self._progress.saw_values(now, reading.values, engines, Identity(reading.started))
            self._traffic.saw(reading.blocks)

    def _traffic_now(self) -> dict[str, BlockCounts]:
        allocated, released = self._traffic.allocated, self._traffic.released
        return {engine: BlockCounts(allocated[engine], released[engine]) for engine in allocated}

    def _send_canary_if_due(self) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if not self._progress.canary_due(now):
                return
            self._progress.canary_sent(now)
        self._spawn(self._canary, "canary")

    def _canary(self) -> None:
        result: CanaryResult = "error"
        tokens = NO_TOKENS
        try:
            result, tokens = self._api.canary()
        finally:  # also when a defect of ours ends it: a canary that never finishes looks like one without an answer
            with self._lock:
                self._progress.canary_finished(self._clock.monotonic(), result, tokens)

    def _ask_for_pause_if_due(self) -> None:
        with self._lock:
            if not (self._pause_supported and self._progress.pause_question_due(self._clock.monotonic())):
                return
        answer = self._api.pause()
        self._pause_supported = answer.supported
        with self._lock:
            self._progress.saw_paused(self._clock.monotonic(), answer.paused)

    def _run_errands(self) -> None:
        now = self._clock.monotonic()
        self._ask_about.go_if_due(now)
        if self._ask_deep is not None:
            self._ask_deep.go_if_due(now)

    def _learn(self) -> None:
        about = self._api.about()
        if about.load:
            self._ask_about.interval = LOAD_SECONDS
        with self._lock:
            self._about = about

    def _probe_deep(self) -> None:
        """Sends the deep probes. One that the server does not offer is not repeated before its next start."""
        for probe in DEEP_PROBES:
            if self._deep.get(probe, DeepAnswer(False)).supported:
                answer = self._api.deep(probe)
                with self._lock:
                    self._deep[probe] = answer

    def _spawn(self, target: Callable[[], None], what: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"{what} {self.name}", daemon=True)
        thread.start()
        return thread

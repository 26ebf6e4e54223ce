"""Watches one vLLM server from a thread of its own, so that a server that hangs delays nobody else's probes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from vllm_exporter.config import ProbeConfig
from vllm_exporter.engine import EngineValues
from vllm_exporter.errors import SourceError
from vllm_exporter.ports import Clock
from vllm_exporter.progress import Health, Progress, Verdict
from vllm_exporter.sources.vllm_api import VllmApi

JOIN_TIMEOUT = 0.5  # seconds at shutdown; threads are daemons: one that waits for an answer ends with the process


@dataclass(frozen=True)
class Sighting:
    """The latest of one server, for rendering."""

    health_seconds: float
    values: EngineValues | None  # of the last look only; None: /metrics was not readable in it
    problem: str  # why /metrics was not readable, or ''
    verdict: Verdict


class Watch:
    """One server. `start` starts the thread; `sighting` may be called from any other."""

    def __init__(self, name: str, api: VllmApi, probe: ProbeConfig, canary: bool, clock: Clock) -> None:
        self.name = name
        self._api = api
        self._interval = probe.interval
        self._clock = clock
        self._progress = Progress(probe, canary)
        self._lock = threading.Lock()  # guards _progress and what follows
        self._health_seconds = 0.0
        self._values: EngineValues | None = None
        self._problem = ""
        self._pause_supported = True
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Starts the thread, or one in place of a thread that died of a bug (its trace is on stderr): then True."""
        if self._thread is not None and self._thread.is_alive():
            return False
        died = self._thread is not None
        self._thread = self._spawn(self._run, "probe")
        return died

    def wait(self, timeout: float) -> None:
        """Until the first look is done, at most `timeout` seconds."""
        self._looked.wait(timeout)

    def sighting(self) -> Sighting | None:
        """None before the first look."""
        with self._lock:
            verdict = self._progress.verdict(self._clock.monotonic())
            if verdict.health is None:
                return None
            return Sighting(self._health_seconds, self._values, self._problem, verdict)

    def look(self) -> None:
        """One round: health, metrics, then a canary and the question for a pause if they are due."""
        health = self._look_at_health()
        self._look_at_metrics(health)
        self._looked.set()
        self._send_canary_if_due()
        self._ask_for_pause_if_due()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        while not self._stop.is_set():
            started = self._clock.monotonic()
            self.look()
            self._stop.wait(max(0.0, self._interval - (self._clock.monotonic() - started)))

    def _look_at_health(self) -> Health:
        started = self._clock.monotonic()
        health = self._api.health()
        now = self._clock.monotonic()
        if health in ("refused", "503"):  # whatever comes up in its place may serve another model and have other rights
            self._api.forget_model()
            self._pause_supported = True
        with self._lock:
            self._health_seconds = now - started
            self._progress.saw_health(now, health)
        return health

    def _look_at_metrics(self, health: Health) -> None:
        values: EngineValues | None = None
        problem = ""
        if health == "refused":
            problem = "connection refused"
        else:
            try:
                values = self._api.engine()
                problem = "" if values else "no vllm: families (--disable-log-stats, or not vLLM)"
            except SourceError as error:
                problem = str(error)
        with self._lock:
            self._values, self._problem = values, problem
            self._progress.saw_values(self._clock.monotonic(), values)

    def _send_canary_if_due(self) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if not self._progress.canary_due(now):
                return
            self._progress.canary_sent(now)
        self._spawn(self._canary, "canary")

    def _canary(self) -> None:
        result = self._api.canary()
        with self._lock:
            self._progress.canary_finished(self._clock.monotonic(), result)

    def _ask_for_pause_if_due(self) -> None:
        with self._lock:
            if not (self._pause_supported and self._progress.pause_question_due(self._clock.monotonic())):
                return
        answer = self._api.pause()
        self._pause_supported = answer.supported
        with self._lock:
            self._progress.saw_paused(self._clock.monotonic(), answer.paused)

    def _spawn(self, target: Callable[[], None], what: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"{what} {self.name}", daemon=True)
        thread.start()
        return thread

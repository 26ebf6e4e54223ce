"""The healer's worker on one real server, with its real eyes, lever and journal; alerts and samples are made up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vllm_healer.actuators.vllm_http import ask_server
from vllm_healer.clock import SystemClock
from vllm_healer.config import Config, Mode
from vllm_healer.journal import Journal
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import (
    Alert,
    Incarnation,
    ProcessRef,
    RunState,
    Signal,
    Signals,
    Standing,
    SupervisorView,
    Target,
)
from vllm_healer.probes import Probes
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.loop import Worker


@dataclass
class Surroundings:
    """Prometheus, Alertmanager and a supervisor that never has to do anything."""

    alerts: tuple[Alert, ...] = ()

    def active(self, servers: frozenset[str] | None = None) -> tuple[Alert, ...]:
        return (alert("Watchdog", part_of="vllm-monitor"), *self.alerts)

    def signals(self, server: str, more: frozenset[str]) -> Signals:
        return Signals(stalled=Signal(0.0, 1.0))

    def healthy(self, servers: frozenset[str], max_age: float) -> frozenset[str]:
        return servers

    def observe(self, target: Target) -> SupervisorView:
        return SupervisorView(RunState.RUNNING, Incarnation("boot/1/1", 1))

    def stop(self, target: Target, grace: float) -> None:
        raise AssertionError("nothing is stopped")

    def start(self, target: Target) -> None:
        raise AssertionError("nothing is started")

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        raise AssertionError("nothing is signalled")

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        return ask_server(target, method, path, body, timeout)


@dataclass
class SmallHealer:
    """A running worker, and what is around it."""

    journal: Journal
    around: Surroundings
    clock: SystemClock

    def fire(self, name: str, server: str) -> None:
        self.around.alerts = (alert(name, server=server),)
        self.journal.record_alerts(self.around.alerts, self.clock.now())

    def history(self) -> list[str]:
        return [f"{entry.kind}: {entry.words}" for entry in self.journal.history(200)]


def alert(name: str, **labels: str) -> Alert:
    every = {"alertname": name, **labels}
    return Alert(f"{name}-{labels}", name, True, "2026-12-01T10:00:00Z", every, {}, standing=Standing.SENT)


@contextmanager
def small_healer(folder: Path, target: Target, *remediations: str) -> Iterator[SmallHealer]:
    """A worker that may use these remediations on the target, until the block ends."""
    clock, around = SystemClock(), Surroundings()
    journal = Journal.open(folder / "journal.sqlite", clock)
    config = Config(mode=Mode.ACT, remediations=dict.fromkeys(remediations, Mode.ACT), targets=(target,))
    tell: Callable[[str], bool] = lambda words: True  # noqa: E731
    deps = Deps(config, clock, journal, around, around, Probes(), {target.actuator: around}, HealerMetrics(), tell)
    worker = Worker(deps)
    worker.start()
    try:
        yield SmallHealer(journal, around, clock)
    finally:
        worker.stop()
        journal.close()


class Clients:
    """So many clients that ask again and again until they are told to stop; `statuses` are what they got."""

    def __init__(self, ask: Callable[[], int], count: int) -> None:
        self.statuses: list[int] = []
        self._ended = threading.Event()
        self._ask = ask
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            status = self._ask()
            self.statuses.append(status)
            if status != 200:
                self._ended.wait(0.5)

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60.0)

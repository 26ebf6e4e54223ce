"""A server as the probe sees it, second by second on a fake clock. What tests expect follows from the defaults:
30 s without progress or 5 times the longest gap, 300 s in the first 300 s, canaries of 8 s every 10 s."""

from __future__ import annotations

from dataclasses import replace

from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.facts.values import EngineValues, Health
from vllm_exporter.subjects.server.canaries import CanaryResult
from vllm_exporter.subjects.server.incarnation import UNKNOWN, Identity, Memory
from vllm_exporter.subjects.server.progress import Progress

IDLE = EngineValues(
    running=0,
    waiting=0,
    kv_usage=0.0,
    iterations=100,
    preemptions=0,
    prefix_queries=5000,
    prompt_tokens=900,
    awake=True,
)
STEPS = {"iterations": 20.0}  # a second, of a server that works


class Server:
    """A server as the probe sees it: looked at once a second, canaries sent when due and answered as told."""

    def __init__(
        self,
        warm: bool = True,
        canary: bool = True,
        probe: ProbeConfig | None = None,
        identity: Identity = UNKNOWN,
    ) -> None:
        self._probe, self._canary = probe or ProbeConfig(), canary
        self.progress = Progress(self._probe, canary)
        self.identity = identity
        self.now = 1000.0
        self.values: EngineValues | None = IDLE
        self.health: Health = "ok"
        self.answers: CanaryResult | None = "ok"  # what canaries get; None: nothing, until they time out
        self.paused_answer: bool | None = None
        self.used = 0.0  # CPU seconds of the engine, where a test says
        self.sent: list[float] = []
        self.questions: list[float] = []
        self.in_flight: float | None = None  # since when a canary waits for its answer
        if warm:
            self.look()
            self.run(400)

    def look(self) -> None:
        self.progress.saw_health(self.now, self.health)
        values = self.values if self.health != "refused" else None
        self.progress.saw_values(self.now, values, identity=self.identity)
        if self.progress.pause_question_due(self.now):
            self.questions.append(self.now)
            self.progress.saw_paused(self.now, self.paused_answer)
        if self.in_flight is not None and self.now - self.in_flight >= 8:
            self.in_flight = None
            self.progress.canary_finished(self.now, "timeout")
        if self.progress.canary_due(self.now):
            self.send()

    def send(self) -> None:
        self.sent.append(self.now)
        self.progress.canary_sent(self.now)
        if self.answers is None:
            self.in_flight = self.now
            return
        self.progress.canary_finished(self.now, self.answers)
        if self.answers == "ok" and self.values is not None:
            self.set(iterations=(self.values.iterations or 0) + 1)

    def run(self, seconds: int, step: dict[str, float] | None = None) -> ServerSight:
        """Looks once a second; each second every value in `step` grows by that much."""
        for _ in range(seconds):
            self.now += 1
            if self.values is not None and step:
                self.values = replace(self.values, **{k: getattr(self.values, k) + v for k, v in step.items()})
            self.look()
        return self.sight

    def restart_exporter(self, away: int = 5) -> Memory | None:
        """It is killed and started again, with what was kept."""
        kept = self.progress.memory
        self.progress = Progress(self._probe, self._canary, kept)
        self.in_flight = None
        self.now += away
        self.look()
        return kept

    @property
    def sight(self) -> ServerSight:
        return self.progress.sight(self.now)

    def set(self, **values: float | bool | None) -> None:
        assert self.values is not None
        self.values = replace(self.values, **values)  # type: ignore[arg-type]

    def load(self) -> None:
        self.set(running=47, waiting=3, kv_usage=0.5)

    def hang(self) -> None:
        self.answers = None

    def seconds_until_stalled(self, at_most: int) -> int | None:
        return next((second for second in range(1, at_most + 1) if self.run(1).stalled), None)


def busy(seconds: int = 1, server: Server | None = None) -> Server:
    """Under load, with progress in each second until now. A warm and healthy server, unless another is given."""
    made = server or Server()
    made.load()
    made.run(seconds, STEPS)
    return made


def hung(seconds: int = 1, server: Server | None = None) -> Server:
    """The same, and from now on nothing moves and no canary is answered."""
    made = busy(seconds, server)
    made.hang()
    return made


def moved_after(gap: int) -> Server:
    """Under load, it stood still for so many seconds and has made a step now. Canaries are not answered."""
    made = hung()
    made.run(gap - 1)
    made.run(1, {"iterations": 1})
    return made

"""Decides, for all others, whether a vLLM server makes progress or is stalled. Pure: time is passed in.

A hanging engine answers /health with 200 and its gauges freeze, perhaps at 0; a healthy one may give no token and
answer no canary for minutes while it computes a long prompt. So a server is stalled when three things come together:
work is present, no value that the engine pushes has changed for longer than the limit, and a canary sent in that time
is unanswered. Work is a request that runs or waits, or the unanswered canary itself. Where there are several engines,
one that has requests of its own and stands still for longer than the limit suffices: another may answer the canary.

Where the part inside vLLM reports each step, steps are the progress, and the limit is a share of the usual one: what
/metrics shows once a second and only where values differ is known exactly. A stopped engine of several is then found
with several API servers, too.

Where no canary may be sent, requests that run and a standstill of twice the limit have to do. Each step of a healthy
engine moves something: a part of a long prompt fills KV blocks, any other step and each batch of a pooling model gives
output. So what has to fit into that time is one step, and not a whole prompt.
"""

from __future__ import annotations

from collections.abc import Mapping

from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.facts.facts import ServerSight, ServerSteps
from vllm_exporter.facts.values import EngineValues, Health
from vllm_exporter.subjects.server.canaries import (
    NO_TOKENS,
    SUSPICIOUS_AGE,
    Canaries,
    CanaryResult,
    CanaryState,
    CanaryTokens,
)
from vllm_exporter.subjects.server.engine import moved, restarted
from vllm_exporter.subjects.server.gaps import EngineEffort, Gap
from vllm_exporter.subjects.server.incarnation import UNKNOWN, Identity, Memory
from vllm_exporter.subjects.server.limit import stall_limit
from vllm_exporter.subjects.server.remembered import Remembered

READING_LIFETIME = 15.0  # seconds a reading of /metrics stands in for failed ones: two time-outs of 5 s, and slack
PAUSE_INTERVAL = 5.0  # seconds between two requests for /is_paused, each of which may block for 2 s
CLOCKS_APART = 1.0  # seconds: reports are written and read on one host, by one clock


class Progress:
    """One server's state. All times are the monotonic clock's, in seconds; not thread-safe."""

    def __init__(self, probe: ProbeConfig, canary: bool = True, memory: Memory | None = None) -> None:
        """`memory` is what an exporter before this one knew; it counts if the same process is found."""
        self._probe = probe
        self._memory = memory
        self._canary_enabled = canary
        self._canaries = Canaries(probe)
        self._health: Health | None = None
        self._life = Remembered()

    def saw_health(self, now: float, health: Health) -> None:
        """Takes a result. Refused and 503 (engine dead) end a server's life; another one begins afterwards."""
        self._health = health
        if health in ("refused", "503"):
            self._forget()
        elif health == "ok" and self._life.ready_at is None:
            self._life.ready_at = now

    def saw_values(
        self,
        now: float,
        values: EngineValues | None,
        engines: Mapping[str, EngineValues] | None = None,
        identity: Identity = UNKNOWN,
    ) -> None:
        """Takes a reading. None: not readable, or no vllm: families. Silence while nobody looked is no evidence.

        `engines` are the values of each engine where there are several.
        """
        if values is None:
            return
        before = self._life.values
        if self._life.identity.is_other(identity) or (before is not None and restarted(before, values)):
            self._restart(now)
        if not self._known(now):
            self._life.progress_at = now
            self._life.forgive(now)
        if self._life.values is not None and moved(self._life.values, values):
            self._advance(now)
            self._life.paused = None  # it moves again, or drains: ask anew when it stops
        self._life.values, self._life.read_at = values, now
        self._life.ages.saw(now, engines or {})
        self._update_work(now)
        self._update_held(now)
        self.saw_process(now, identity)

    def saw_steps(self, now: float, steps: ServerSteps) -> None:
        """Takes what the part inside reports of each engine's last step. A new step is progress from its own time. A
        report from the future is of another clock, as in a time namespace."""
        if steps.seen_until > now + CLOCKS_APART:
            return
        made = self._life.steps.saw(steps)
        if made.slowest and not self._warming_up():
            self._life.gaps.end(now, made.slowest, self._limit())
        if made.newest is not None and made.newest > self._life.progress_at:
            self._advance(min(made.newest, now))
        self._update_work(now)

    def saw_process(self, now: float, identity: Identity) -> None:
        """Learns which process it is. The memory of this process is used, that of another one dropped."""
        self._life.identity = self._life.identity.merged(identity)
        memory = self._memory
        if memory is None or self._life.values is None:
            return  # waits for the first reading, whose values are no movement
        if memory.identity.is_same(self._life.identity):
            self._memory = None
            self._recall(now, memory)
        elif memory.identity.is_other(self._life.identity):
            self._memory = None

    def saw_effort(self, now: float, effort: EngineEffort) -> None:
        """Learns what its processes use, as far as they are on this host: a hang that ends is no long step."""
        self._life.gaps.saw_effort(now, effort)

    def saw_paused(self, now: float, paused: bool | None) -> None:
        """Takes the answer of /is_paused; None: no answer."""
        self._life.paused = paused
        self._update_held(now)

    def canary_sent(self, now: float) -> None:
        self._canaries.send(now)
        self._update_work(now)

    def canary_finished(self, now: float, result: CanaryResult, tokens: CanaryTokens = NO_TOKENS) -> None:
        """An answered canary is progress, even where the values of /metrics lag behind."""
        if self._canaries.finish(now, result, tokens) and result == "ok":
            self._advance(now)
        self._update_work(now)

    def canary_due(self, now: float) -> bool:
        """True if one is due: only to a ready server that neither sleeps nor is paused; others never answer one."""
        if not self._canary_enabled or self._health != "ok" or self._life.held:
            return False
        age = self._age() if self._known(now) and self._life.work else None
        return self._canaries.due(now, age, min(SUSPICIOUS_AGE, self._limit() / 3))

    def pause_question_due(self, now: float) -> bool:
        """True as soon as it looks suspicious, to know a pause before it looks like a stall; and while it lasts."""
        if not self._known(now) or now - self._life.pause_asked_at < PAUSE_INTERVAL:
            return False
        suspect = self._life.work and self._age() >= min(SUSPICIOUS_AGE, self._limit() / 2)
        if suspect or self._life.paused:
            self._life.pause_asked_at = now
            return True
        return False

    def sight(self, now: float) -> ServerSight:
        """Returns the conclusions so far, without values that only the reader of /metrics knows."""
        known = self._known(now)
        canary = self._canaries.state()
        asked = canary.result not in (None, "not_applicable")
        return ServerSight(
            health=self._health,
            ready_age=None if self._life.ready_at is None else now - self._life.ready_at,
            progress_age=max(self._age(), self._lag()) if known else None,
            work=self._life.work if known else None,
            stall_limit=self._limit() if known else None,
            stalled=self._stalled() if known else None,
            paused=self._life.paused,
            sleeping=self._sleeping() if known else None,
            engine_ages=self._engine_ages() if known else {},
            canary_ok=canary.result == "ok" if asked else None,
            canary_failures=canary.failures,
            canary_seconds=canary.seconds if asked else None,
            canary_first_token=canary.first_token,
        )

    @property
    def canary(self) -> CanaryState:
        """Returns the last canary, and how many of each result there ever were."""
        return self._canaries.state()

    @property
    def memory(self) -> Memory | None:
        """Returns what to keep over a restart of the exporter; None: nothing, or the process is not known."""
        life = self._life
        if life.ready_at is None or not life.identity.known:
            return self._memory
        longest = life.gaps.longest
        return Memory(life.identity, life.ready_at, longest.seconds, longest.ended if longest.seconds else None)

    def _stalled(self) -> bool:
        """True if it is stalled as of the last reading, to which the age refers."""
        if not self._life.work or self._life.held:
            return False
        if self._lag() >= self._limit():
            return True  # even if the canary was answered: another engine may have answered it
        if self._age() < self._limit():
            return False
        if self._blind():  # requests that only wait may wait for another server, or for KV blocks of one
            return self._life.values is not None and bool(self._life.values.running)
        return self._canaries.unanswered_since(self._life.progress_at, self._seen_at())

    def _exact(self) -> bool:
        """True if each step is seen."""
        return self._life.steps.fresh(self._life.read_at)

    def _seen_at(self) -> float:
        return max(self._life.read_at, self._life.steps.until) if self._exact() else self._life.read_at

    def _age(self) -> float:
        return max(0.0, self._seen_at() - self._life.progress_at)

    def _engine_ages(self) -> dict[str, float]:
        """Returns each engine's, where there are several. While an API server is frozen, its reports are missing from
        /metrics, too, so that nobody knows."""
        steps = self._life.steps
        if steps.known and not self._exact():
            return {}
        ages = steps.ages() if steps.known else self._life.ages.ages()
        return ages if len(ages) > 1 else {}

    def _lag(self) -> float:
        """Returns the longest standstill of one of several engines with requests of its own; 0 with a single one."""
        return max(self._engine_ages().values(), default=0.0) if not self._life.held else 0.0

    def _limit(self) -> float:
        longest = self._life.gaps.longest.left(self._life.read_at)
        return stall_limit(self._probe, longest, self._warming_up(), self._exact(), self._blind())

    def _blind(self) -> bool:
        """True if no canary may be sent, or the server takes none."""
        return not self._canary_enabled or self._canaries.refused

    def _warming_up(self) -> bool:
        """True if the silence began in the warm-up: a compilation does not end with the minute."""
        ready_at = self._life.ready_at
        return ready_at is None or self._life.silent_from - ready_at < self._probe.warmup_seconds

    def _known(self, now: float) -> bool:
        return self._life.values is not None and now - self._life.read_at <= READING_LIFETIME

    def _sleeping(self) -> bool:
        return self._life.values is not None and self._life.values.awake is False

    def _advance(self, now: float) -> None:
        """Notes a movement. The gap that ends here counts if the engine worked in it, unless it is first-time
        compilation. A canary alone that waited shows no work: requests have to run."""
        values = self._life.values
        if values is not None and values.running and self._known(now) and not self._warming_up():
            self._life.gaps.end(now, now - self._life.progress_at, self._limit())
        self._start_clock(now)

    def _start_clock(self, now: float) -> None:
        self._life.progress_at = self._life.silent_from = now
        self._life.gaps.start()

    def _update_work(self, now: float) -> None:
        """Starts the clock of progress when work appears after idle time."""
        shown = self._life.values is not None and self._life.values.work
        work = self._canaries.unanswered or shown or (self._exact() and self._life.steps.work)
        if work and not self._life.work:
            self._start_clock(now)
        self._life.work = work

    def _update_held(self, now: float) -> None:
        """Restarts clocks and canaries: time asleep or paused is no stall, and canaries that waited prove nothing."""
        held = self._sleeping() or self._life.paused is True
        if held != self._life.held:
            self._life.held = held
            self._canaries.reset()
            self._update_work(now)
            if not held:
                self._start_clock(now)
                self._life.forgive(now)

    def _restart(self, now: float) -> None:
        self._forget()
        self._life.ready_at = now if self._health == "ok" else None

    def _recall(self, now: float, memory: Memory) -> None:
        """Uses the memory. A present silence may have begun in the warm-up, unless it would be a stall by now."""
        life, probe = self._life, self._probe
        life.ready_at = memory.ready_at if life.ready_at is None else min(life.ready_at, memory.ready_at)
        ended = now if memory.gap_ended is None else min(now, memory.gap_ended)
        life.gaps.take(now, Gap(memory.longest_gap, ended))
        young = now - life.ready_at < probe.warmup_seconds + probe.warmup_stall_seconds
        life.silent_from = life.ready_at if young else life.progress_at

    def _forget(self) -> None:
        self._memory = None
        self._life = Remembered()
        self._canaries.reset()

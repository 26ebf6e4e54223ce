"""The engine in time: messages in, finished steps out, and the failures that an engine can have.

The caller says what time it is, in simulated seconds, so the same driver serves a process of its own and many servers
in one process. While it hangs it does nothing at all, as a stopped process does: messages wait, replies do not come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deploy.simulator.engine.core import Engine
from deploy.simulator.engine.model import EngineOptions, Request, StepResult

Hang = Literal["", "loaded", "idle"]
Death = Literal["fatal", "silent", "oom", "gpu", "poison"]


@dataclass(frozen=True)
class Add:
    request: Request


@dataclass(frozen=True)
class Abort:
    ids: tuple[str, ...]  # nobody waits for them any more


@dataclass(frozen=True)
class Call:
    """A question or an order that is answered with a Reply of the same number."""

    number: int
    name: str
    argument: str = ""


@dataclass(frozen=True)
class Tune:
    """The changes of a failure to the engine; the default is a healthy one."""

    hang: Hang = ""
    token_budget: int | None = None  # tokens in one step
    fixed_step: float | None = None  # seconds of every step
    slowness: float = 1.0
    leak: float = 0.0
    poison: bool = False
    death: Death | None = None


Message = Add | Abort | Call | Tune


@dataclass(frozen=True)
class Reply:
    number: int
    value: object


@dataclass
class Output:
    """The output of the engine after one look at the clock."""

    results: list[StepResult] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    death: Death | None = None

    def __bool__(self) -> bool:
        return bool(self.results or self.replies or self.death)


class Driver:
    """`slack`: simulated seconds that the caller may be late without the engine losing the time."""

    def __init__(self, options: EngineOptions, slack: float = 0.05) -> None:
        self.engine = Engine(options)
        self.frozen = False
        self._tune = Tune()
        self._slack = slack
        self._step: StepResult | None = None  # under way
        self._free_at = 0.0  # when the step before ended
        self._held: list[Message] = []  # came while frozen
        self._draining: list[Call] = []  # answered once nothing runs
        self._out = Output()

    @property
    def wake_at(self) -> float | None:
        """Returns when the step under way ends; None without one."""
        return None if self.frozen or self._step is None else self._step.time

    @property
    def busy(self) -> bool:
        return not self.frozen and self.engine.has_work

    def handle(self, message: Message, now: float) -> None:
        if isinstance(message, Tune):
            self._apply(message, now)
        elif self.frozen:
            self._held.append(message)
        elif isinstance(message, Add):
            self._add(message.request, now)
        elif isinstance(message, Abort):
            self._abort(message.ids, now)
        else:
            self._call(message, now)

    def advance(self, now: float) -> Output:
        """Everything that was done until now."""
        while not self.frozen and self._begin(now) and self._step and self._step.time <= now:
            self._end(self._step)
        out, self._out = self._out, Output()
        return out

    def _begin(self, now: float) -> bool:
        """Starts a step unless one is under way; False when there is nothing to do."""
        if self._step is None and self.engine.has_work:
            self._step = self.engine.step(max(self._free_at, now - self._slack))
        return self._step is not None

    def _end(self, step: StepResult) -> None:
        self._step, self._free_at = None, step.time
        self._out.results.append(step)
        idle = not self.engine.has_work
        if idle:
            self._answer_drained(step.time)
        if (self._tune.hang == "loaded" and step.gauges.running) or (self._tune.hang == "idle" and idle):
            self.frozen = True

    def _add(self, request: Request, now: float) -> None:
        if request.poison and self._tune.poison:
            self._die("poison")
            return
        if not self.engine.has_work:
            self._free_at = max(self._free_at, now)
        self.engine.add(request)

    def _abort(self, ids: tuple[str, ...], now: float) -> None:
        """One more step, an empty one, when nothing is left: it brings the gauges to 0, as in vLLM."""
        if self.engine.abort(ids) and not self.engine.has_work:
            self._step = None
            self._out.results.append(StepResult(now, self.engine.gauges))

    def _apply(self, tune: Tune, now: float) -> None:
        self.engine.restore()
        self.frozen, self._tune = False, tune
        engine = self.engine
        engine.token_budget = tune.token_budget or engine.options.max_num_batched_tokens
        engine.fixed_step, engine.slowness, engine.leak = tune.fixed_step, tune.slowness, tune.leak
        self._free_at = max(self._free_at, now - self._slack)
        self._release(now)
        if tune.hang == "idle":
            engine.admitting = False
            self.frozen = not engine.has_work
        if tune.death:
            self._die(tune.death)

    def _release(self, now: float) -> None:
        held, self._held = self._held, []
        for message in held:
            self.handle(message, now)

    def _die(self, death: Death) -> None:
        self._out.death = death
        self.frozen = True

    def _call(self, call: Call, now: float) -> None:
        if call.name == "pause" and call.argument == "wait" and self.engine.has_work:
            self.engine.admitting = False
            self._draining.append(call)
            return
        self._reply(call, getattr(self, f"_call_{call.name}")(call.argument, now))

    def _reply(self, call: Call, value: object) -> None:
        self._out.replies.append(Reply(call.number, value))

    def _answer_drained(self, now: float) -> None:
        draining, self._draining = self._draining, []
        for call in draining:
            self._reply(call, self._call_pause("keep", now))

    def _call_pause(self, mode: str, now: float) -> object:
        if mode == "abort":
            self._out.results.append(self.engine.abort_all(now))
            self._step = None
        self.engine.pause()
        return None

    def _call_resume(self, _: str, now: float) -> object:
        self._free_at = max(self._free_at, now)
        self.engine.resume()
        return None

    def _call_is_paused(self, _: str, now: float) -> object:
        return self.engine.paused

    def _call_sleep(self, level: str, now: float) -> object:
        """Level 0 pauses only; the others also say that they sleep."""
        self._call_pause("abort", now)
        self.engine.sleep_level = int(level)
        return None

    def _call_wake_up(self, _: str, now: float) -> object:
        self.engine.sleep_level = None
        return self._call_resume("", now)

    def _call_is_sleeping(self, _: str, now: float) -> object:
        return self.engine.sleep_level is not None

    def _call_reset_prefix_cache(self, _: str, now: float) -> object:
        return self.engine.reset_prefix_cache()

    def _call_check_health(self, _: str, now: float) -> object:
        return None

"""The engine: requests in, one step at a time, tokens and statistics out."""

from __future__ import annotations

import random
from collections.abc import Iterable

from deploy.simulator.engine.model import EngineOptions, Finished, FinishReason, Gauges, Request, StepResult
from deploy.simulator.engine.scheduler import Batch, Scheduler, Sequence


class Engine:
    """Driven from outside: `step` says when the step ends, and the caller waits until then."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.scheduler = Scheduler(options)
        self.paused = False
        self.sleep_level: int | None = None  # None: awake
        self.token_budget = options.max_num_batched_tokens
        self.slowness = 1.0  # factor on the time of a step
        self.fixed_step: float | None = None  # seconds, instead of the model's
        self.leak = 0.0  # share of a finished request's blocks that is never given back
        self.admitting = True  # False: what comes stays outside, not even counted as waiting
        self._outside: list[Request] = []  # came while paused or while nothing is admitted
        self._sequences: dict[str, Sequence] = {}
        self._leaked: list[int] = []
        self._random = random.Random(options.seed)

    @property
    def has_work(self) -> bool:
        return bool(self._sequences) and not self.paused

    @property
    def ids(self) -> list[str]:
        return [*self._sequences, *(request.id for request in self._outside)]

    @property
    def gauges(self) -> Gauges:
        scheduler = self.scheduler
        return Gauges(len(scheduler.running), len(scheduler.waiting), 0, scheduler.pool.usage)

    def add(self, request: Request) -> None:
        if self.paused or not self.admitting:
            self._outside.append(request)
            return
        self._enter(request)

    def abort(self, ids: Iterable[str]) -> list[str]:
        """Forgets the requests; returns those that were there. Unknown ids are ignored, as vLLM does."""
        wanted = set(ids)
        gone = [request.id for request in self._outside if request.id in wanted]
        self._outside = [request for request in self._outside if request.id not in wanted]
        for sequence in [self._sequences[id_] for id_ in wanted if id_ in self._sequences]:
            self._forget(sequence)
            gone.append(sequence.request.id)
        return gone

    def abort_all(self, now: float) -> StepResult:
        """Ends all requests, as /pause does: the clients get what there is, with finish_reason abort."""
        result = StepResult(now)
        for sequence in list(self._sequences.values()):
            result.finished.append(self._finish(sequence, now, "abort"))
        result.gauges = self.gauges
        return result

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Lets the requests enter that came meanwhile."""
        self.paused, self.admitting = False, True
        outside, self._outside = self._outside, []
        for request in outside:
            self._enter(request)

    def reset_prefix_cache(self) -> bool:
        return self.scheduler.pool.reset()

    def restore(self) -> None:
        """Ends what a failure had changed; leaked blocks come back."""
        self.token_budget, self.slowness, self.fixed_step, self.leak = self.options.max_num_batched_tokens, 1.0, None, 0
        self.scheduler.pool.give_back(self._leaked)
        self._leaked = []
        self.resume()

    def step(self, start: float) -> StepResult:
        """One step that begins at `start`; its `time` is when it ends."""
        batch = self.scheduler.schedule(self.token_budget)
        result = StepResult(start + self._seconds(batch.tokens), preemptions=batch.preemptions)
        result.prefix_queries, result.prefix_hits = batch.prefix_queries, batch.prefix_hits
        self._compute(batch, start, result)
        result.gauges = self.gauges
        return result

    def _seconds(self, tokens: int) -> float:
        if self.fixed_step is not None:
            return self.fixed_step
        options = self.options
        jitter = max(0.5, self._random.gauss(1.0, options.step_jitter)) if options.step_jitter else 1.0
        return (options.step_base + options.step_per_token * tokens) * jitter * self.slowness

    def _compute(self, batch: Batch, start: float, result: StepResult) -> None:
        for sequence, tokens in batch.shares:
            if sequence.scheduled is None:
                sequence.scheduled = start
            self.scheduler.computed(sequence, tokens)
            if sequence.missing == 0:
                self._produce(sequence, result)

    def _produce(self, sequence: Sequence, result: StepResult) -> None:
        """One token."""
        now = result.time
        sequence.generated += 1
        result.new_tokens.append(sequence.request.id)
        if sequence.first_token is None:
            sequence.first_token = now
            result.first_tokens.append(max(0.0, now - sequence.request.arrival))
            result.cached_prompt_tokens += sequence.cached
            result.computed_prompt_tokens += sequence.request.prompt_tokens - sequence.cached
        else:
            result.gaps.append(now - sequence.last_token)
        sequence.last_token = now
        if sequence.generated >= sequence.request.length:
            result.finished.append(self._finish(sequence, now, sequence.request.reason))

    def _enter(self, request: Request) -> None:
        self.scheduler.add(request)
        self._sequences[request.id] = self.scheduler.waiting[-1]

    def _finish(self, sequence: Sequence, now: float, reason: FinishReason) -> Finished:
        request = sequence.request
        self._forget(sequence)
        scheduled = now if sequence.scheduled is None else sequence.scheduled
        first = now if sequence.first_token is None else sequence.first_token
        return Finished(
            id=request.id,
            reason=reason,
            prompt_tokens=request.prompt_tokens,
            cached_tokens=sequence.cached,
            generation_tokens=sequence.generated,
            max_tokens=request.max_tokens,
            preemptions=sequence.preemptions,
            e2e=max(0.0, now - request.arrival),
            queued=max(0.0, scheduled - request.arrival),
            prefill=first - scheduled,
            decode=now - first,
        )

    def _forget(self, sequence: Sequence) -> None:
        kept = int(len(sequence.blocks) * self.leak + 0.5)
        self._leaked += sequence.blocks[:kept]
        self.scheduler.remove(sequence, kept)
        del self._sequences[sequence.request.id]

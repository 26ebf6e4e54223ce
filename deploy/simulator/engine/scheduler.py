"""Decides which requests take part in the next step, with how many tokens each.

As vLLM's: running requests first, in order; then waiting ones while tokens, seats and blocks last. When a running
request finds no block, the one that came last gives up all of its own and starts again later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from deploy.simulator.engine.blocks import BlockPool
from deploy.simulator.engine.model import EngineOptions, Request


@dataclass(eq=False)
class Sequence:
    """A request in the engine. Compared by identity: it sits in lists that are searched."""

    request: Request
    generated: int = 0
    computed: int = 0  # tokens whose KV is there
    cached: int = 0  # of these, found in the prefix cache at first
    blocks: list[int] = field(default_factory=list)
    hashed: int = 0  # blocks known to the prefix cache
    scheduled: float | None = None  # when it first ran
    first_token: float | None = None
    last_token: float = 0.0
    preemptions: int = 0

    @property
    def total(self) -> int:
        return self.request.prompt_tokens + self.generated

    @property
    def missing(self) -> int:
        """Tokens to compute before it can produce one."""
        return self.total - self.computed


@dataclass
class Batch:
    """The work of one step."""

    shares: list[tuple[Sequence, int]] = field(default_factory=list)  # tokens each
    preemptions: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0

    @property
    def tokens(self) -> int:
        return sum(tokens for _, tokens in self.shares)


class Scheduler:
    """The two queues and the blocks between them."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self.pool = BlockPool(options.num_gpu_blocks)
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self.admitting = True  # False: waiting requests stay where they are

    def add(self, request: Request) -> None:
        self.waiting.append(Sequence(request))

    def remove(self, sequence: Sequence, keep_blocks: int = 0) -> None:
        """Removes a finished or aborted request; `keep_blocks` are never given back."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self.pool.give_back(sequence.blocks[keep_blocks:])
        sequence.blocks = []

    def schedule(self, budget: int) -> Batch:
        batch = Batch()
        budget -= self._schedule_running(batch, budget)
        if self.admitting and not batch.preemptions:
            self._schedule_waiting(batch, budget)
        return batch

    def _schedule_running(self, batch: Batch, budget: int) -> int:
        spent = 0
        for sequence in list(self.running):
            if sequence not in self.running or spent >= budget:
                continue  # preempted by one before it
            tokens = min(sequence.missing, budget - spent)
            if self._make_room(sequence, tokens, batch):
                batch.shares.append((sequence, tokens))
                spent += tokens
        return spent

    def _make_room(self, sequence: Sequence, tokens: int, batch: Batch) -> bool:
        """Blocks for these tokens, from the last request if need be; False when it was itself the last."""
        while not self._grow(sequence, tokens):
            victim = self.running.pop()
            self._preempt(victim)
            batch.preemptions += 1
            if victim is sequence:
                return False
        return True

    def _preempt(self, victim: Sequence) -> None:
        """It loses its blocks and stands first in the queue; what it had computed is computed again."""
        self.pool.give_back(victim.blocks)
        victim.blocks, victim.computed, victim.hashed = [], 0, 0
        victim.preemptions += 1
        self.waiting.appendleft(victim)

    def _schedule_waiting(self, batch: Batch, budget: int) -> None:
        while self.waiting and budget > 0 and len(self.running) < self.options.max_num_seqs:
            sequence = self.waiting[0]
            hits = self._find_prefix(sequence)
            missing = sequence.total - len(hits) * self.options.block_size
            tokens = min(missing, budget)
            if tokens < missing and not self.options.enable_chunked_prefill:
                return
            if not self._admit(sequence, hits, tokens, batch):
                return
            batch.shares.append((sequence, tokens))
            budget -= tokens

    def _find_prefix(self, sequence: Sequence) -> list[int]:
        """At least one token is always computed: it gives the first of the answer."""
        usable = (sequence.total - 1) // self.options.block_size
        return self.pool.cached(sequence.request.block_hashes[:usable])

    def _admit(self, sequence: Sequence, hits: list[int], tokens: int, batch: Batch) -> bool:
        self.pool.share(hits)
        sequence.blocks = list(hits)
        sequence.computed = len(hits) * self.options.block_size
        sequence.hashed = len(hits)
        if not self._grow(sequence, tokens):
            self.pool.give_back(hits)
            sequence.blocks, sequence.computed, sequence.hashed = [], 0, 0
            return False
        if not sequence.preemptions and self.options.enable_prefix_caching:
            sequence.cached = sequence.computed
            batch.prefix_queries += sequence.total
            batch.prefix_hits += sequence.computed
        self.waiting.popleft()
        self.running.append(sequence)
        return True

    def _grow(self, sequence: Sequence, tokens: int) -> bool:
        """Blocks for `tokens` more; False when there are none."""
        needed = -(-(sequence.computed + tokens) // self.options.block_size) - len(sequence.blocks)
        if needed <= 0:
            return True
        new = self.pool.take(needed)
        if new is None:
            return False
        sequence.blocks += new
        return True

    def computed(self, sequence: Sequence, tokens: int) -> None:
        """These tokens are done; full blocks of the prompt can be shared from now on."""
        sequence.computed += tokens
        hashes = sequence.request.block_hashes if self.options.enable_prefix_caching else ()
        full = min(sequence.computed // self.options.block_size, len(hashes))
        for index in range(sequence.hashed, full):
            self.pool.remember(sequence.blocks[index], hashes[index])
        sequence.hashed = max(sequence.hashed, full)

"""The inputs and outputs of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length", "abort", "error", "repetition"]


@dataclass(frozen=True)
class EngineOptions:
    """Sizes and speeds. The defaults are those of a small model on one GPU, slow enough to be watched."""

    max_num_seqs: int = 64  # requests in one step
    max_num_batched_tokens: int = 2048  # tokens in one step
    num_gpu_blocks: int = 4096
    block_size: int = 16  # tokens
    max_model_len: int = 4096  # tokens, prompt and answer
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    step_base: float = 0.020  # seconds of a step, whatever is in it
    step_per_token: float = 0.0002  # seconds more for each token in it
    step_jitter: float = 0.05  # standard deviation of a step's time, as a share of it
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One request as the API server hands it over. Times are simulated seconds on the server's clock."""

    id: str
    arrival: float
    prompt_tokens: int
    output_tokens: int  # it would stop after these
    max_tokens: int  # as asked for
    block_hashes: tuple[int, ...] = ()  # of the prompt's full blocks, each including all before it
    poison: bool = False  # kills an engine that has that failure

    @property
    def length(self) -> int:
        return max(1, min(self.output_tokens, self.max_tokens))

    @property
    def reason(self) -> FinishReason:
        return "length" if self.output_tokens >= self.max_tokens else "stop"


@dataclass(frozen=True)
class Finished:
    """The values that vLLM observes when a request has finished. Times are in seconds."""

    id: str
    reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    generation_tokens: int
    max_tokens: int
    preemptions: int
    e2e: float
    queued: float
    prefill: float
    decode: float

    @property
    def inference(self) -> float:
        return self.prefill + self.decode

    @property
    def per_output_token(self) -> float:
        """vLLM's mean: the first token belongs to the prefill."""
        return self.decode / (self.generation_tokens - 1) if self.generation_tokens > 1 else 0.0


@dataclass(frozen=True)
class Gauges:
    """The gauges that every step pushes, whether it produced output or not."""

    running: int = 0
    waiting: int = 0
    deferred: int = 0
    kv_usage: float = 0.0  # 0 to 1


@dataclass
class StepResult:
    """One engine step. Built up by the engine, read by everybody else."""

    time: float  # its end
    gauges: Gauges = field(default_factory=Gauges)
    prefix_queries: int = 0  # tokens
    prefix_hits: int = 0  # tokens
    preemptions: int = 0
    computed_prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    new_tokens: list[str] = field(default_factory=list)  # ids of the requests that got a token
    first_tokens: list[float] = field(default_factory=list)  # seconds since arrival
    gaps: list[float] = field(default_factory=list)  # seconds since the token before
    finished: list[Finished] = field(default_factory=list)

    @property
    def has_output(self) -> bool:
        """Steps of a chunked prefill have none, and vLLM then counts no iteration."""
        return bool(self.new_tokens or self.finished)

"""The options of one simulated server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deploy.simulator.clock import Clock
from deploy.simulator.engine.model import EngineOptions
from deploy.simulator.errors import OptionError

VERSION = "0.32.0"  # of vLLM, whose behaviour this is


@dataclass(frozen=True)
class ServerOptions:
    """Durations are simulated seconds, unless they say real."""

    model: str = "sim"
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str = ""  # empty: none is asked for
    dev_mode: bool = True  # the management endpoints
    load_tracking: bool = False  # /load says 0 otherwise, as vLLM's
    start_seconds: float = 3.0
    shutdown_timeout: float = 0.0  # real: how long SIGTERM lets requests finish
    execute_timeout: float = 300.0  # real: VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS, how long a worker may be silent
    request_seconds: float = 0.0  # what the API server does for a request before the engine has it
    answer_tokens: int = 128  # median length of an answer that may end by itself
    speed: float = 1.0
    seed: int = 0
    state: Path | None = None  # what must outlive the process
    script: Path | None = None
    access_log: bool = True
    engine: EngineOptions = field(default_factory=EngineOptions)

    @property
    def clock(self) -> Clock:
        return Clock(self.speed)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def checked(options: ServerOptions) -> ServerOptions:
    """Returns the options. Raises OptionError for what vLLM would refuse at its start, or what would never end."""
    engine = options.engine
    blocks = (engine.num_gpu_blocks - 1) * engine.block_size
    if engine.max_model_len > blocks:
        raise OptionError(
            f"--max-model-len {engine.max_model_len} does not fit into {blocks} tokens of KV cache: "
            f"raise --num-gpu-blocks or lower --max-model-len"
        )
    if options.speed <= 0:
        raise OptionError(f"--speed {options.speed:g}: give a number above 0, such as 60 for an hour in a minute")
    if options.request_seconds < 0:
        raise OptionError(f"--request-seconds {options.request_seconds:g}: give 0 or more")
    if min(engine.max_num_seqs, engine.max_num_batched_tokens, engine.block_size) < 1:
        raise OptionError("--max-num-seqs, --max-num-batched-tokens and --block-size must be at least 1")
    return options

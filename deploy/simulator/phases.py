"""The phases of a start, as vLLM 0.32 logs them, spread over the start's duration. Data, and how to wait through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploy.simulator.loglines import Log
from deploy.simulator.options import VERSION, ServerOptions

# Shares of the start at which the next process is there; the others lie in between.
ENGINE_AT = 0.25
WORKER_AT = 0.40
LOADING_AT = 0.70  # weights: where a start that never ends stays, and where one that fails ends


@dataclass(frozen=True)
class Phase:
    """One line, and at which share of the start it comes."""

    at: float
    where: str
    text: str


def api_server_phases(options: ServerOptions) -> tuple[Phase, ...]:
    """Until the engine is started."""
    args = {"model_tag": options.model, "host": options.host, "port": options.port, "model": options.model}
    return (
        Phase(0.05, "api_utils.py:347", f"       █     █     █▄   ▄█   version {VERSION}   model   {options.model}"),
        Phase(0.05, "api_utils.py:286", f"non-default args: {args}"),
        Phase(0.15, "model.py:733", "Resolved architecture: LlamaForCausalLM"),
        Phase(0.20, "model.py:2152", f"Using max model len {options.engine.max_model_len}"),
        Phase(ENGINE_AT, "vllm.py:1012", "Asynchronous scheduling is disabled."),
    )


def engine_phases(options: ServerOptions) -> tuple[Phase, ...]:
    """Until the worker is started."""
    return (
        Phase(0.30, "core.py:133", f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{options.model}'"),
        Phase(WORKER_AT, "multiproc_executor.py:153", "DP group leader: node_rank=0, node_rank_within_dp=0, "
              "master_addr=127.0.0.1, mq_connect_ip=127.0.0.1 (local), world_size=1, local_world_size=1"),
    )  # fmt: skip


def worker_phases(options: ServerOptions) -> tuple[Phase, ...]:
    return (
        Phase(0.45, "parallel_state.py:1906", "world_size=1 rank=0 local_rank=0 distributed_init_method="
              "tcp://127.0.0.1:0 backend=nccl"),
        Phase(0.50, "parallel_state.py:2350", "rank 0 in world size 1 is assigned as DP rank 0, PP rank 0, PCP rank 0, "
              "TP rank 0, ETP rank 0, EP rank N/A, EPLB rank N/A"),
        Phase(0.55, "gpu_model_runner.py:4012", f"Starting to load model {options.model}..."),
        Phase(0.60, "weight_utils.py:1131", "Filesystem type for checkpoints: EXT4. Checkpoint size: 0.01 GiB."),
        Phase(LOADING_AT, "default_loader.py:501", f"Loading weights took {options.start_seconds * 0.1:.2f} seconds"),
    )  # fmt: skip


def ready_phases(options: ServerOptions) -> tuple[Phase, ...]:
    """Returns the phases of the engine once the worker is there."""
    engine = options.engine
    tokens = engine.num_gpu_blocks * engine.block_size
    return (
        Phase(0.80, "kv_cache_utils.py:2327", f"GPU KV cache size: {tokens:,} tokens, Maximum concurrency for "
              f"{engine.max_model_len:,} tokens per request: {tokens / engine.max_model_len:.2f}x"),
        Phase(0.90, "core.py:402", "init engine (profile, create kv cache, warmup model) took "
              f"{options.start_seconds * 0.2:.2f} s"),
    )  # fmt: skip


def listening_phases(options: ServerOptions, routes: list[tuple[str, str]]) -> tuple[Phase, ...]:
    """Returns the last phases of the API server; the last line comes with the first answer."""
    listed = tuple(Phase(1.0, "launcher.py:195", f"Route: {path}, Methods: {method}") for method, path in routes)
    return (
        Phase(0.95, "entry.py:136", "Supported tasks: ['generate']"),
        Phase(0.95, "hf.py:648", "Detected the chat template content format to be 'string'."),
        Phase(1.0, "entry.py:140", f"Starting vLLM server on {options.url}"),
        Phase(1.0, "launcher.py:186", "Available routes are:"),
        *listed,
    )


@dataclass(frozen=True)
class Timeline:
    """The progress of a start. `began` and durations are real seconds."""

    began: float  # CLOCK_MONOTONIC, the same for all processes
    seconds: float

    def left(self, at: float) -> float:
        return max(0.0, self.began + at * self.seconds - time.monotonic())

    def play(self, phases: tuple[Phase, ...], log: Log, wait: Callable[[float], None] = time.sleep) -> None:
        """Writes each line when its time has come."""
        for phase in phases:
            wait(self.left(phase.at))
            log.info(phase.where, phase.text)


def uvicorn_lines(pid: int) -> Iterator[str]:
    yield f"INFO:     Started server process [{pid}]"
    yield "INFO:     Waiting for application startup."
    yield "INFO:     Application startup complete."

"""The failures by name: what each is, what it changes in the engine, and whether it outlives the process. Data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from deploy.simulator.engine.driver import Tune
from deploy.simulator.errors import UnknownFailure

HEALTHY: Final = Tune()

# What the API server does besides: see failures/switch.py.
Action = Literal[
    "", "503", "aborting_clients", "asleep", "corrupt", "kill", "long_prompt", "memory", "many_clients", "paused",
    "pills", "squat",
]  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """One line of the list."""

    how: str
    words: str
    tune: Tune = HEALTHY
    action: Action = ""
    lasting: bool = False  # also true for the next start; needs --state, and ends with `mend`


# Seconds and tokens of a prefill step that look hung and are not: as measured on vLLM with such a batch limit.
SILENT_STEP = 7.0
SILENT_TOKENS = 64

_ALL = (
    Failure("crash", "the engine dies of a fatal error: 503, then the server ends with code 1", Tune(death="fatal")),
    Failure("exit0", "the engine is killed without a word: 503, then the server ends with code 0",
            Tune(death="silent")),
    Failure("hang", "under load: the engine stops with requests running; gauges freeze, /health stays 200",
            Tune(hang="loaded")),
    Failure("hang_idle", "the engine stops while it has nothing to do; gauges stay 0/0, requests never return",
            Tune(hang="idle")),
    Failure("silent_prefill", "healthy: a long prompt takes minutes without a token; only KV usage moves",
            Tune(token_budget=SILENT_TOKENS, fixed_step=SILENT_STEP), "long_prompt"),
    Failure("503", "the engine is dead and the server stays, as with VLLM_KEEP_ALIVE_ON_ENGINE_DEATH=1",
            Tune(hang="idle"), "503"),
    Failure("saturate", "more clients than the batch holds: the queue stays above 100", action="many_clients"),
    Failure("slow_start", "the next start takes ten times as long; the server ends now", Tune(death="silent"),
            lasting=True),
    Failure("start_never_ends", "the next start stays at loading weights; the server ends now", Tune(death="silent"),
            lasting=True),
    Failure("crash_loop", "every start fails while weights are loaded; the server ends now", Tune(death="silent"),
            lasting=True),
    Failure("client_aborts", "clients that leave after the first words, over and over", action="aborting_clients"),
    Failure("oom_log", "CUDA out of memory in the log, then the engine is gone", Tune(death="oom")),
    Failure("kv_leak", "half of each finished request's KV blocks is never free again", Tune(leak=0.5)),
    Failure("memory_leak", "the API server's memory grows by 4 MiB a second, up to 512 MiB", action="memory"),
    Failure("poison", "a prompt with the words 'poison pill' kills the engine, and a client keeps sending it",
            Tune(poison=True), "pills", lasting=True),
    Failure("worker_slow", "each step takes ten times as long", Tune(slowness=10.0)),
    Failure("gpu_lost", "Xid 79 in the log, gpu.json in the state directory, and no start until it is mended",
            Tune(death="gpu"), lasting=True),
    Failure("paused", "as POST /pause?mode=keep: requests wait, nothing says so on /metrics", action="paused"),
    Failure("asleep", "as POST /sleep?level=1", action="asleep"),
    Failure("port_conflict", "another program takes the port for a minute; the server ends now", Tune(death="silent"),
            "squat"),
    Failure("corrupt", "every answer is the same sign over and over", action="corrupt"),
    Failure("orphan", "the API server alone is killed; its engine and worker stay", action="kill"),
)  # fmt: skip

FAILURES = {failure.how: failure for failure in _ALL}


def find(how: str) -> Failure:
    """Raises UnknownFailure."""
    if how not in FAILURES:
        raise UnknownFailure(f"unknown failure {how!r}; known: {', '.join(FAILURES)}")
    return FAILURES[how]

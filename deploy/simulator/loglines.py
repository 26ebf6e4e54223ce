"""Log lines as vLLM 0.32 writes them: `(Role pid=N) LEVEL MM-DD HH:MM:SS [file.py:line] text`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from deploy.simulator.errors import EngineDead

FATAL = {
    "fatal": ("RuntimeError: unspecified launch failure", "gpu_model_runner.py"),
    "poison": ("RuntimeError: device-side assert triggered", "gpu_model_runner.py"),
    "oom": (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of "
        "79.10 GiB of which 612.00 MiB is free.",
        "gpu_model_runner.py",
    ),
    "gpu": ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "gpu_worker.py"),
}  # cause of an engine's death -> last line of its traceback and the file it came from

XID = "NVRM: Xid (PCI:0000:17:00): 79, pid={pid}, name=VLLM::Worker, GPU has fallen off the bus."  # of the kernel log


@dataclass
class Log:
    """One process's log. Lines go out at once: what is read after a crash must be there."""

    role: str
    quiet: bool = False
    stream: TextIO | None = None  # None: standard output

    def info(self, where: str, text: str) -> None:
        self._write("INFO", where, text)

    def warning(self, where: str, text: str) -> None:
        self._write("WARNING", where, text)

    def error(self, where: str, text: str) -> None:
        """Each line of a traceback gets the prefix, as in vLLM."""
        for line in text.splitlines():
            self._write("ERROR", where, line)

    def plain(self, text: str) -> None:
        """Writes the line of a library, without the prefix."""
        if not self.quiet:
            print(text, file=self.stream or sys.stdout, flush=True)

    def access(self, peer: str, method: str, path: str, status: int, phrase: str) -> None:
        self.plain(f'INFO:     {peer} - "{method} {path} HTTP/1.1" {status} {phrase}')

    def _write(self, level: str, where: str, text: str) -> None:
        stamp = time.strftime("%m-%d %H:%M:%S")
        self.plain(f"({self.role} pid={os.getpid()}) {level} {stamp} [{where}] {text}")


def stats_line(rates: tuple[float, float], running: int, waiting: int, usage: float, hits: float) -> str:
    """Rates of prompt and answer in tokens a second; usage and hits as shares."""
    return (
        f"Engine 000: Avg prompt throughput: {rates[0]:.1f} tokens/s, "
        f"Avg generation throughput: {rates[1]:.1f} tokens/s, Running: {running} reqs, Waiting: {waiting} reqs, "
        f"GPU KV cache usage: {usage:.1%}, Prefix cache hit rate: {hits:.1%}"
    )


def fatal_lines(death: str) -> Sequence[str]:
    """Returns the lines that EngineCore writes before it ends; none when it is killed."""
    if death not in FATAL:
        return ()
    words, file = FATAL[death]
    return (
        "EngineCore encountered a fatal error.",
        "Traceback (most recent call last):",
        '  File "vllm/v1/engine/core.py", line 1412, in run_engine_core',
        f'  File "vllm/v1/worker/{file}", line 2871, in execute_model',
        words,
    )


def log_death(log: Log, death: str) -> None:
    """The engine's own last words."""
    if death == "gpu":
        log.plain(XID.format(pid=os.getpid()))
    for text in fatal_lines(death):
        log.error("core.py:1421", text)


def log_engine_gone(log: Log, requests: int) -> None:
    """Writes the lines of the API server when its engine is gone, whatever the cause."""
    log.warning("core_client.py:704", "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup")
    log.error("async_llm.py:772", "AsyncLLM output_handler failed.")
    dead = f"vllm.v1.engine.exceptions.EngineDeadError: {EngineDead()}"
    for _ in range(1 + requests):
        log.error("async_llm.py:772", f"Traceback (most recent call last):\n{dead}")

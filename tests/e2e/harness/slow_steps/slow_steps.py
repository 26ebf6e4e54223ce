"""A vLLM plug-in that makes large steps slow: a healthy server that looks hung.

vLLM loads it in every process of a server when this folder is on PYTHONPATH. SLOW_STEPS_SECONDS is the sleep,
SLOW_STEPS_TOKENS the number of scheduled tokens from which a step is slow.
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any


def register() -> None:
    """Wraps the CPU model runner once; vLLM calls this several times in a process."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    if not hasattr(CPUModelRunner, "_slow_steps"):
        CPUModelRunner._slow_steps = True
        CPUModelRunner.execute_model = slow(CPUModelRunner.execute_model)


def slow(execute_model: Any) -> Any:
    seconds = float(os.environ.get("SLOW_STEPS_SECONDS", "6"))
    tokens = int(os.environ.get("SLOW_STEPS_TOKENS", "32"))

    @functools.wraps(execute_model)
    def execute(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        if scheduler_output.total_num_scheduled_tokens >= tokens:
            time.sleep(seconds)
        return execute_model(self, scheduler_output, *args, **kwargs)

    return execute

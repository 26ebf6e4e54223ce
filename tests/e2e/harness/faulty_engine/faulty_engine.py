"""A vLLM plug-in whose engine fails as a GPU's would: by the header X-Request-Id that a request has.

vLLM loads it when this folder is on PYTHONPATH. What is raised goes through vLLM's own handlers to the client.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Any

ERRORS = {
    "fault-oom": (RuntimeError, "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free."),
    "fault-timeout": (TimeoutError, "RPC call to sample_tokens timed out."),
    "fault-internal": (IndexError, "list index out of range"),
}


def register() -> None:
    """Wraps the engine's client once; vLLM calls this several times in a process."""
    from vllm.v1.engine.async_llm import AsyncLLM

    if not hasattr(AsyncLLM, "_faulty"):
        AsyncLLM._faulty = True
        AsyncLLM.generate = faulty(AsyncLLM.generate)


def faulty(generate: Any) -> Any:
    @functools.wraps(generate)
    async def generated(
        self: Any, prompt: Any, sampling_params: Any, request_id: str, *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        for word, (kind, text) in ERRORS.items():
            if word in request_id:
                raise kind(text)
        async for output in generate(self, prompt, sampling_params, request_id, *args, **kwargs):
            yield output

    return generated

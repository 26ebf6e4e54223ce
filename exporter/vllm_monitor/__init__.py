"""What only the serving process knows, handed to the exporter without touching vLLM. Standard library only."""

from __future__ import annotations

from vllm_monitor.middleware import Middleware

__all__ = ["Middleware"]

"""The rules, in the order in which they are asked: what stops everything comes first, then what a moving server suffers
from, then why one stands still. Pure."""

from __future__ import annotations

from vllm_exporter.hang.finding import Rule
from vllm_exporter.hang.moving import (
    engine_dead,
    kv_overflow,
    long_prefill,
    not_running,
    overload,
    paused,
    silent,
    sleeping,
    stopped,
    unreadable,
    working,
)
from vllm_exporter.hang.standstill import collective, gpu_memory, kernel, scheduler, stuck

RULES: tuple[Rule, ...] = (
    not_running,
    engine_dead,
    stopped,
    silent,
    sleeping,
    paused,
    unreadable,
    kv_overflow,
    overload,
    long_prefill,
    working,
    gpu_memory,
    collective,
    kernel,
    scheduler,
    stuck,
)

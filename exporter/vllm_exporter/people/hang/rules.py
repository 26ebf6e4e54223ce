"""The rules, in the order in which they are asked: what stops everything comes first, then what a moving server suffers
from, then why one stands still. Pure."""

from __future__ import annotations

from vllm_exporter.people.hang.down import engine_dead, left_over, not_running, starting
from vllm_exporter.people.hang.finding import Rule
from vllm_exporter.people.hang.moving import (
    kv_overflow,
    long_prefill,
    overload,
    paused,
    silent,
    sleeping,
    stopped,
    unreadable,
    working,
)
from vllm_exporter.people.hang.standstill import collective, gpu_memory, kernel, scheduler, stuck

RULES: tuple[Rule, ...] = (
    stopped,
    left_over,
    starting,
    not_running,
    engine_dead,
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

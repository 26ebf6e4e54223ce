"""The causes of a hang: what each means and what to try, in the order in which to try it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CauseName = Literal[
    "no_hang",
    "left_over_processes",
    "starting",
    "not_running",
    "engine_dead",
    "api_server_silent",
    "stopped_worker",
    "paused",
    "sleeping",
    "long_prefill",
    "overload",
    "kv_overflow",
    "gpu_memory_exhausted",
    "collective_hang",
    "kernel_stall",
    "scheduler_deadlock",
    "engine_stuck",
    "unreadable",
]


@dataclass(frozen=True)
class Cause:
    """A cause. `hang` is True if requests do not move, and will not by themselves."""

    title: str
    hang: bool
    advice: tuple[str, ...]


RESTART = (
    "Restart the whole process group (SIGTERM, then SIGKILL to all of it); a hung engine does not come back by itself."
)
STACKS = (
    "Take stacks before the restart: pip install py-spy, then run this report again as root: "
    "it dumps those of engine and workers."
)
TRACE = "For the next time: VLLM_LOGGING_LEVEL=DEBUG; VLLM_TRACE_FUNCTION=1 records each call (very slow, tests only)."
LIMIT = (
    "To limit the next hang: VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS=60 with --distributed-executor-backend mp "
    "(300 s by default; a single GPU without mp has no limit at all)."
)

CAUSES: dict[CauseName, Cause] = {
    "no_hang": Cause("No hang: the server works", False, ()),
    "left_over_processes": Cause(
        "The API server is gone, and its engine or workers were left behind",
        True,
        (
            "End them: kill <pid> of each, then kill -KILL what is there after 5 s. They hold memory that the next "
            "start needs.",
            "Then start the server, unless its supervisor does.",
            "Find what ended the API server: dmesg -T | grep -i oom.",
        ),
    ),
    "starting": Cause("No hang: the server is still starting", False, ()),
    "not_running": Cause(
        "Nothing listens: the server is not running",
        True,
        ("Look at the end of its log and at its supervisor; a crashed engine ends with exit code 0.",),
    ),
    "engine_dead": Cause(
        "The engine has died and the API server knows it (/health 503)",
        True,
        (RESTART, "The cause stands in the log above 'EngineDeadError', not below it."),
    ),
    "api_server_silent": Cause(
        "The API server does not answer, and nothing is seen to move",
        True,
        (
            "Look at its CPU: at a full core it is saturated (fewer clients, --api-server-count), at none it hangs.",
            STACKS,
            RESTART,
        ),
    ),
    "stopped_worker": Cause(
        "A process of the server is stopped (SIGSTOP, a debugger, a freezer)",
        True,
        (
            "Continue it: kill -CONT <pid>; or end the debugger or cgroup freezer that holds it.",
            "If it does not go on: " + RESTART,
        ),
    ),
    "paused": Cause(
        "The scheduler is paused: requests wait for /resume",
        True,
        (
            "If no weight update is under way: POST /resume.",
            "Find who paused it: POST /pause stands in the access log.",
        ),
    ),
    "sleeping": Cause(
        "The engine sleeps: requests wait for /wake_up",
        True,
        ("POST /wake_up.", "Let the router know: a sleeping server answers /health with 200."),
    ),
    "long_prefill": Cause(
        "No hang: a long prefill or slow steps, without output so far",
        False,
        (
            "Wait: the engine moves. A restart would lose the request.",
            "To let others in between: --enable-chunked-prefill and a smaller --max-num-batched-tokens.",
        ),
    ),
    "overload": Cause(
        "No hang: more requests than the batch can take",
        False,
        (
            "Fewer clients or more replicas; a restart loses the queue.",
            "Limit the queue: --max-num-queued-reqs answers 503 instead of letting clients wait.",
        ),
    ),
    "kv_overflow": Cause(
        "No hang, but the KV cache is full: requests wait for blocks or are preempted",
        False,
        (
            "Fewer or shorter requests at a time: --max-num-seqs, --max-model-len.",
            "More room: --gpu-memory-utilization, --kv-cache-dtype fp8, more tensor parallelism.",
            "Do not restart: a cold prefix cache makes it worse.",
        ),
    ),
    "gpu_memory_exhausted": Cause(
        "GPU memory is exhausted",
        True,
        (
            "Look for other processes on the GPU (nvidia-smi), orphans of an earlier run among them.",
            RESTART,
            "Leave more room: lower --gpu-memory-utilization or --max-num-batched-tokens; "
            "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True against fragmentation.",
        ),
    ),
    "collective_hang": Cause(
        "The ranks wait for each other in a collective (NCCL, Gloo, shared memory)",
        True,
        (
            STACKS,
            RESTART,
            "For the next time: NCCL_DEBUG=INFO NCCL_DEBUG_SUBSYS=INIT,COLL; TORCH_NCCL_TRACE_BUFFER_SIZE=2000 with "
            "TORCH_NCCL_DUMP_ON_TIMEOUT=1; ncclras asks NCCL 2.24 and newer while it hangs.",
            "To narrow it down: --disable-custom-all-reduce; NCCL_P2P_DISABLE=1 (slow; if it helps, look at PCIe ACS "
            "and the IOMMU); NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME where there are several networks.",
            LIMIT,
        ),
    ),
    "kernel_stall": Cause(
        "A step does not come back from the GPU or its driver",
        True,
        (
            "Look for Xid messages: dmesg | grep -i xid; one of them decides between restart, GPU reset and repair.",
            STACKS,
            RESTART,
            "For the next time: CUDA_LAUNCH_BLOCKING=1 names the kernel (slow); "
            "CUDA_ENABLE_USER_TRIGGERED_COREDUMP=1 with CUDA_COREDUMP_PIPE lets a hung kernel be dumped.",
            "To narrow it down: --enforce-eager, another attention backend, asynchronous scheduling off.",
            LIMIT,
        ),
    ),
    "scheduler_deadlock": Cause(
        "The scheduler admits no request: requests wait, none runs, and the KV cache is free",
        True,
        (
            "In dev mode: POST /abort_requests {} frees a queue that one request blocks; else restart.",
            "Check for a request that can never fit: lower --max-model-len to what the KV cache holds.",
            "To narrow it down: asynchronous scheduling off; --no-scheduler-reserve-full-isl.",
            TRACE,
        ),
    ),
    "engine_stuck": Cause(
        "The engine does not move, and nothing seen says why",
        True,
        (STACKS, RESTART, TRACE, LIMIT, "With several ranks also NCCL_DEBUG=INFO; on a GPU CUDA_LAUNCH_BLOCKING=1."),
    ),
    "unreadable": Cause(
        "The server answers, but its engine cannot be seen",
        False,
        ("Start it without --disable-log-stats, and let this host read /metrics.",),
    ),
}

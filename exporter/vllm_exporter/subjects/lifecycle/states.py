"""The 42 states of a vLLM server, in the order of a life: start, service, trouble, end.

A quoted log line is of vLLM 0.32; the logs collector also recognises the wording of other releases. States before
`listening` come in this order, though not each start shows each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vllm_exporter.facts.events import Severity

Source = Literal["processes", "log", "socket", "probe", "gpu", "start script", "counting"]
Proof = Literal["real vLLM", "log text"]


@dataclass(frozen=True)
class LifecycleState:
    """One row of the table. `proof` says how the tests reach it."""

    name: str
    meaning: str
    evidence: str
    source: Source
    action: str = "Nothing; wait."
    severity: Severity = "info"  # of the event that reports the change to this state
    proof: Proof = "real vLLM"


_WAIT_START = "Nothing; wait. If it lasts longer than twice the usual time, look at the log and at the network."

STATES: tuple[LifecycleState, ...] = (
    LifecycleState("absent", "No process, no answer, and none ever seen.", "nothing is seen", "processes", "Start it."),
    LifecycleState(
        "preflight",
        "Checks before the start are running.",
        "log: a line of the start script's checks; the exporter knows none yet",
        "start script",
        "Read what the checks say.",
        proof="log text",
    ),
    LifecycleState(
        "spawned",
        "The process is there and imports Python packages; it has said nothing yet.",
        "a process `vllm serve` of this server",
        "processes",
        _WAIT_START,
    ),
    LifecycleState(
        "args_parsed",
        "Arguments were read.",
        "log: the banner with the version, `non-default args:`; or the port is bound, which comes next",
        "log",
    ),
    LifecycleState(
        "port_bound",
        "The port is taken, nothing listens on it yet.",
        "the kernel knows a bound, silent socket on the port (Linux 6.8 or newer)",
        "socket",
    ),
    LifecycleState(
        "config_resolving",
        "The model's configuration is read, perhaps from the network.",
        "arguments were read, or the port was bound, a second ago and nothing came after",
        "log",
        _WAIT_START,
    ),
    LifecycleState(
        "config_resolved", "The model's architecture and length are known.", "log: `Resolved architecture:`", "log"
    ),
    LifecycleState(
        "engine_spawned",
        "The engine core process is there.",
        "log: `Initializing a V1 LLM engine`; or a process EngineCore",
        "log",
        _WAIT_START,
    ),
    LifecycleState(
        "executor_spawn",
        "Workers are started.",
        "log: `DP group leader:`, with Ray `Waiting for creating a placement group`; or a process Worker",
        "log",
        "With Ray: look for free GPUs in the cluster when it lasts.",
    ),
    LifecycleState(
        "dist_init",
        "Workers look for each other.",
        "log: `distributed_init_method=`",
        "log",
        "When it lasts: check NCCL's network interface and the firewall between the hosts.",
    ),
    LifecycleState("ranks_assigned", "Each worker knows its ranks.", "log: `is assigned as DP rank`", "log"),
    LifecycleState("model_init", "The model's layers are made.", "log: `Starting to load model`", "log"),
    LifecycleState(
        "weights_download",
        "Weights came over the network.",
        "log: `Time spent downloading weights for`, which vLLM prints at the end of the download",
        "log",
        "When it is slow: keep weights on a local disk.",
        proof="log text",
    ),
    LifecycleState(
        "weights_loading",
        "Weights are read into memory.",
        "log: `Loading safetensors checkpoint shards:`, `Filesystem type for checkpoints`",
        "log",
        "When it is slow: look at the disk's throughput.",
    ),
    LifecycleState(
        "weights_loaded", "Weights are in memory.", "log: `Loading weights took`, `Model loading took`", "log"
    ),
    LifecycleState(
        "compiling",
        "torch.compile works on the model's graph.",
        "log: `Using cache directory:` for torch.compile, `Compiling a graph for`",
        "log",
        "Keep the compile cache between starts.",
        proof="log text",
    ),
    LifecycleState(
        "profiling",
        "A trial run measures the memory that the model needs.",
        "log: `torch.compile took`",
        "log",
        proof="log text",
    ),
    LifecycleState(
        "kv_sized",
        "The size of the KV cache is known.",
        "log: `Available KV cache memory:`, `KV cache size:`, `Maximum concurrency for`",
        "log",
        "Compare the size with what was planned.",
    ),
    LifecycleState(
        "graph_capture",
        "CUDA graphs are captured.",
        "log: `Profiling CUDA graph memory`, `Graph capturing finished`",
        "log",
        proof="log text",
    ),
    LifecycleState(
        "engine_ready",
        "The engine could compute.",
        "log: `init engine (profile, create kv cache, warmup model) took`",
        "log",
    ),
    LifecycleState("frontend_init", "The HTTP side gets ready.", "log: `Supported tasks:`", "log"),
    LifecycleState(
        "listening",
        "It answers /health, and nothing was computed yet.",
        "/health is fine; log: `Starting vLLM server on`, `Application startup complete.`",
        "probe",
    ),
    LifecycleState(
        "ready_verified",
        "It computed an answer for the first time since its start.",
        "the first canary was answered, or the engine made steps",
        "probe",
        "Put it into rotation.",
    ),
    LifecycleState("idle", "It has no requests.", "none runs or waits, and no steps but those of canaries", "probe"),
    LifecycleState("serving", "It works on requests.", "requests run, or the engine makes steps", "probe"),
    LifecycleState(
        "saturated",
        "Requests wait, and the engine makes progress.",
        "requests waited at each look for 5 s",
        "probe",
        "Add servers, or shed load, when it lasts.",
        "warning",
    ),
    LifecycleState(
        "thrashing",
        "The KV cache is full: requests are thrown out of it and computed again.",
        "in 30 s at least half as many preemptions as sequences run, and at least 5",
        "probe",
        "Shed load; then give the KV cache more memory or admit fewer sequences. Do not restart.",
        "warning",
    ),
    LifecycleState(
        "suspect",
        "It may hang: too early to say.",
        "work and no progress for 10 s; a missed canary and no progress for 5 s; /health timed out; log: a stall line",
        "probe",
        "Nothing yet: a long prompt looks like this too.",
        "warning",
    ),
    LifecycleState(
        "stalled",
        "It hangs.",
        "work, no progress for longer than the limit, and an unanswered canary (or, without canaries, twice the limit)",
        "probe",
        "Take it out of rotation, collect stacks, restart the whole process group.",
        "critical",
    ),
    LifecycleState(
        "paused",
        "Its scheduler was paused by somebody.",
        "/is_paused; log: `setting pause state to PAUSED`",
        "probe",
        "POST /resume when no weight update runs.",
    ),
    LifecycleState(
        "sleeping",
        "It was put to sleep; memory is given back.",
        "vllm:engine_sleep_state; log: `seconds to fall asleep`",
        "probe",
        "POST /wake_up when it is needed.",
    ),
    LifecycleState(
        "waking",
        "It was woken and has computed nothing since.",
        "it slept and does not any more; log: `seconds to wake up tags`",
        "probe",
        "When it lasts: look for an out-of-memory error in the log.",
    ),
    LifecycleState(
        "ft_recovery",
        "An engine failed and waits for a command (fault tolerance).",
        "log: `[FT] Busy loop raised`",
        "log",
        "POST /fault_tolerance/apply within 120 s, else it ends.",
        "critical",
        proof="log text",
    ),
    LifecycleState(
        "draining",
        "It finishes the requests it has and takes no more; /health is still fine.",
        "log: `[shutdown] EngineCore: start mode=drain`",
        "log",
        "Take it out of rotation: new requests fail with 500.",
    ),
    LifecycleState(
        "aborting",
        "It cuts off the requests it has: their clients get 200 and half a text.",
        "log: `[shutdown] EngineCore: start mode=abort`",
        "log",
        "Give it `--shutdown-timeout` for the next time.",
        "warning",
        proof="log text",
    ),
    LifecycleState(
        "engine_dead",
        "The engine died; the API server is still there.",
        "/health says 503; log: `EngineCore encountered a fatal error.`; the engine's process is gone",
        "probe",
        "Restart it when its supervisor does not; find the first error in the log.",
        "critical",
    ),
    LifecycleState(
        "stopping",
        "It was asked to stop.",
        "log: `[shutdown] API server: shutdown triggered`; or /health is refused while the process lives",
        "log",
    ),
    LifecycleState(
        "exited",
        "It was there and is gone.",
        "the process is gone",
        "processes",
        "If nobody stopped it: look at the exit's cause. A dead engine leaves code 0 too.",
        "warning",
    ),
    LifecycleState(
        "orphaned",
        "The API server is gone, its engine or workers hold memory.",
        "processes whose parent is gone",
        "processes",
        "End the left-over processes, then start it again.",
        "critical",
    ),
    LifecycleState(
        "start_failed",
        "It ended before it was ready.",
        "the process is gone, or the log says that the start failed, before /health was fine",
        "processes",
        "Read the first error of the log; the phase durations say how far it came.",
        "error",
    ),
    LifecycleState(
        "crash_loop",
        "It failed again and again.",
        "3 starts in a row that never computed an answer, or 3 ends with the same first error, each within an hour",
        "counting",
        "Stop restarting it; the cause does not go away by itself.",
        "critical",
    ),
    LifecycleState(
        "quarantined",
        "It is down or hangs, and its GPU or host is at fault.",
        "a GPU that it used is lost or had a fatal XID; log: an uncorrectable ECC error, a GPU off the bus",
        "gpu",
        "Drain the host; reset or replace the GPU.",
        "critical",
        proof="log text",
    ),
)

ORDER: dict[str, int] = {state.name: at for at, state in enumerate(STATES)}
NAMES: tuple[str, ...] = tuple(ORDER)

STARTING: tuple[str, ...] = NAMES[ORDER["spawned"] : ORDER["listening"]]  # a process, not ready
RUNNING: tuple[str, ...] = NAMES[ORDER["ready_verified"] : ORDER["draining"]]  # ready, and not asked to stop
ENDING: tuple[str, ...] = ("draining", "aborting", "stopping")
DOWN: tuple[str, ...] = ("absent", "preflight", *NAMES[ORDER["exited"] :])

"""A real vLLM on the CPU, run through the script that VLLM_MONITOR_REAL_VLLM names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness import httpio
from tests.e2e.harness.supervisor import Program

CHECKOUT = Path(__file__).resolve().parents[3]
PORT = 8222
NO_SCRIPT = "no real vLLM here: set VLLM_MONITOR_REAL_VLLM to a script that runs one with `serve`"
SLOW_STEPS = Path(__file__).with_name("slow_steps")

# A start takes 20 to 45 s on two idle cores; five times that when other work shares them.
START_TIMEOUT = 240.0

# Engine-pushed values: all that can move while a server makes progress without output.
PROGRESS = (
    "vllm:iteration_tokens_total_count", "vllm:kv_cache_usage_perc", "vllm:num_requests_running",
    "vllm:num_requests_waiting", "vllm:generation_tokens_total", "vllm:prompt_tokens_total",
)  # fmt: skip


@dataclass(frozen=True)
class VllmServer:
    """One server: where it listens and how it is started."""

    script: Path
    port: int
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def program(self, autorestart: bool) -> Program:
        command = " ".join(["/bin/bash", str(self.script), "serve", *self.args])
        return Program(command, {"HOST": "127.0.0.1", "PORT": str(self.port), **self.env}, autorestart)

    def health(self) -> int:
        """HTTP status of /health, 0 when nothing answers."""
        return httpio.status(f"{self.url}/health")

    def wait_ready(self, seconds: float = START_TIMEOUT) -> None:
        httpio.wait_ok(f"{self.url}/health", seconds)

    def completes(self, timeout: float = 8.0) -> bool:
        """One token, with the canary's time limit."""
        body = {"model": "tiny", "prompt": "one", "max_tokens": 1}
        return httpio.post_json(f"{self.url}/v1/completions", body, timeout=timeout)[0] == 200

    def progress(self) -> dict[str, float]:
        """The engine-pushed values of /metrics by family name; {} when it does not answer."""
        return parse_values(httpio.get_text(f"{self.url}/metrics"), PROGRESS)


def parse_values(exposition: str, names: tuple[str, ...]) -> dict[str, float]:
    """The sum over all label sets of each name."""
    found: dict[str, float] = {}
    for line in exposition.splitlines():
        match = re.match(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})? (\S+)", line)
        if match and match[1] in names:
            found[match[1]] = found.get(match[1], 0.0) + float(match[2])
    return found


def plain_server(script: Path, port: int) -> VllmServer:
    """A batch of 64, so that 200 clients leave more than 100 requests waiting."""
    return VllmServer(script, port, ("--max-num-seqs", "64"))


SLOW_PROMPT = 930  # tokens: 15 steps of 64, the last of 34


def slow_server(script: Path, port: int, step_seconds: float = 6.0) -> VllmServer:
    """A server whose prefill of SLOW_PROMPT tokens takes 15 slow steps: it looks hung and is healthy."""
    args = ("--max-num-batched-tokens", "64", "--max-num-seqs", "32")
    return VllmServer(script, port, args, {"PYTHONPATH": str(SLOW_STEPS), "SLOW_STEPS_SECONDS": str(step_seconds)})


def chosen_port() -> int:
    """$VLLM_MONITOR_E2E_PORT, else PORT."""
    return int(os.environ.get("VLLM_MONITOR_E2E_PORT", PORT))


def find_script() -> Path | None:
    """$VLLM_MONITOR_REAL_VLLM, else shared/tools/real-vllm beside the checkout; None when neither is there."""
    named = os.environ.get("VLLM_MONITOR_REAL_VLLM", "")
    path = Path(named) if named else CHECKOUT.parent / "shared" / "tools" / "real-vllm"
    return path if path.is_file() else None

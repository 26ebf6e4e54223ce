"""What a real vLLM goes through on an ordinary day, and what people are told meanwhile: of nothing that is wrong.

Start, load, a long prompt that holds up all others, a burst, sleep, and a restart by a person or after SIGTERM.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from urllib.parse import quote

from tests.alerts.days.evaluation import SEVERITIES, Told, told
from tests.e2e.harness import httpio
from tests.e2e.harness.load import Load
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.vllm_server import SLOW_PROMPT, SLOW_STEPS, VllmServer
from tests.e2e.harness.waiting import until

EVALUATED = 5  # seconds
END = 120.0  # seconds that a server may take to stop


def ordinary_server(script: Path, port: int) -> VllmServer:
    """In dev mode, which has /sleep; long prompts are read in steps of 3 s."""
    env = {
        "PYTHONPATH": str(SLOW_STEPS),
        "SLOW_STEPS_SECONDS": "3",
        "SLOW_STEPS_TOKENS": "60",
        "VLLM_SERVER_DEV_MODE": "1",
    }
    return VllmServer(script, port, ("--max-num-seqs", "16", "--max-num-batched-tokens", "64"), env)


def live(stack: Stack, script: Path, seconds: float) -> tuple[float, list[str]]:
    """Rounds of all that may happen, until so much time has passed. Returns the seconds, and what was done."""
    began, done = time.monotonic(), ["start"]
    stack.launch(ordinary_server(script, stack.port), autorestart=True)
    events = (load, long_prefill, burst, sleep, restart, load, terminate)
    while time.monotonic() - began < seconds:
        event = events[(len(done) - 1) % len(events)]
        print(f"{time.monotonic() - began:6.0f} s: {event.__name__}", flush=True)
        event(stack)
        done.append(event.__name__)
    return time.monotonic() - began, done


def load(stack: Stack) -> None:
    with Load(stack.port, clients=4, seconds=60, prompt_tokens=4, max_tokens=100) as clients:
        clients.wait(90)


def long_prefill(stack: Stack) -> None:
    """No output for 45 s, and no answer to anybody else."""
    with Load(stack.port, clients=1, seconds=120, prompt_tokens=SLOW_PROMPT, max_tokens=5, once=True) as client:
        client.wait(120)


def burst(stack: Stack) -> None:
    """Three times as many as the batch holds."""
    with Load(stack.port, clients=48, seconds=40, prompt_tokens=2, max_tokens=100) as clients:
        clients.wait(60)


def sleep(stack: Stack) -> None:
    _post(stack, "/sleep?level=1")
    _rest(60)
    _post(stack, "/wake_up")
    _rest(15)


def restart(stack: Stack) -> None:
    """As a person does it."""
    stack.supervisor.stop_program()
    _rest(10)
    stack.supervisor.start_program()
    stack.server.wait_ready()


def terminate(stack: Stack) -> None:
    """It drains and ends by SIGTERM under load, and its supervisor starts it again."""
    pid = stack.supervisor.info().pid
    with Load(stack.port, clients=2, seconds=30, prompt_tokens=4, max_tokens=50):
        os.kill(pid, signal.SIGTERM)
        until("vLLM to end", lambda: stack.supervisor.info().pid not in (0, pid), END)
    stack.server.wait_ready()


def told_people(stack: Stack, seconds: float) -> Told:
    """Minutes of each alert in the last `seconds`, as Prometheus has them."""
    return Told(*(_minutes(stack, severity, seconds) for severity in SEVERITIES))


def _minutes(stack: Stack, severity: str, seconds: float) -> dict[str, float]:
    query = f"sum by (alertname) (count_over_time(({told(severity)})[{seconds:.0f}s:{EVALUATED}s]))"
    answer = httpio.get_json(f"{stack.urls.prometheus}/api/v1/query?query={quote(query)}", timeout=30)
    found = answer["data"]["result"]
    return {one["metric"]["alertname"]: round(float(one["value"][1]) * EVALUATED / 60, 2) for one in found}


def _post(stack: Stack, path: str) -> None:
    status, body = httpio.post_json(f"{stack.server.url}{path}", {}, timeout=60)
    assert status == 200, f"{path}: {status} {body[:200]}"


def _rest(seconds: float) -> None:
    time.sleep(seconds)  # it is what happens: nothing

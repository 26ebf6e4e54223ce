"""Faults in real servers with the part inside, side by side under one Prometheus, and when an alert fires for each.

Servers are kept between faults, for a start takes a minute: a fault is ended, and the exporter started anew without
what it remembers, because a loop that spins and ends by itself looks like one very slow step.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.e2e.harness import httpio
from tests.e2e.harness.inside_part import installed
from tests.e2e.harness.load import Load
from tests.e2e.harness.processes import Part, descendants
from tests.e2e.harness.stack import Stack
from tests.e2e.harness.vllm_server import SLOW_PROMPT, SLOW_STEPS, VllmServer
from tests.e2e.harness.waiting import until
from tests.ports import free_port

WEDGE = Path(__file__).with_name("wedge")
EVERY = 0.2  # seconds between two questions to Prometheus: the resolution of all times
GIVE_UP = 120.0  # seconds after a fault
SETTLE = 180.0

How = Literal["stop", "spin", "sleep", "hold"]
Role = Literal["EngineCore", "APIServer"]


STALLED, FROZEN = "VllmEngineStalled", "VllmApiServerFrozen"
PLAIN = ("--max-num-seqs", "16")
TWO_ENGINES = ("--data-parallel-size", "2", "--api-server-count", "2", "--max-num-seqs", "8")
SLOW = {"SLOW_STEPS_SECONDS": "3", "SLOW_STEPS_TOKENS": "60"}
CHUNKED = ("--max-num-batched-tokens", "64", "--max-num-seqs", "16")
WATCHED = frozenset({STALLED, FROZEN})
LOOK_HUNG = {"long_prefill": CHUNKED, "steps_of_3_s": CHUNKED, "200_waiting": PLAIN}  # servers for `look_hung`


@dataclass(frozen=True)
class Fault:
    """`stop` is SIGSTOP; the others are those of wedge/. `rank`: as in the process's title; '' for the only one."""

    how: How
    role: Role
    alert: str
    rank: str = ""


@dataclass
class Found:
    """The seconds from a fault to the alert that fires; None: it did not in GIVE_UP. `load`: of the machine then."""

    seconds: float | None
    load: float


@dataclass
class Running:
    """A server with the part inside."""

    name: str  # its label
    server: VllmServer
    part: Part

    def pid(self, fault: Fault) -> int:
        if fault.role == "APIServer" and not fault.rank:
            return self.part.pid  # a single one has no title
        title = f"VLLM::{fault.role}{fault.rank and '_'}{fault.rank}"
        found = [one.pid for one in descendants(self.part.pid) if _title(one.pid).startswith(title)]
        assert found, f"no process {title} of {self.name}"
        return found[0]


@dataclass
class Fleet:
    """Servers under one stack without a healer."""

    stack: Stack
    servers: list[Running]
    folder: Path
    inside: bool = True  # the part is

    def firing(self) -> set[tuple[str, str]]:
        """(alert, server) of those that fire in Prometheus now."""
        return {(alert, server) for alert, server in self.stack.firing() if alert in WATCHED}

    def settle(self) -> None:
        """Waits until all is well and judged as usual, by an exporter that remembers nothing."""
        part = self.stack.parts["exporter"]
        part.stop()
        for file in (self.stack.run / "data" / "exporter").glob("*.json"):
            file.unlink()
        part.start()
        self.stack.wait_parts()
        for one in self.servers:
            until(f"{one.name} to answer", lambda one=one: one.server.completes(), SETTLE)  # type: ignore[misc]
            until(f"the warm-up of {one.name} to end", lambda one=one: self._is_warm(one), SETTLE)  # type: ignore[misc]
        until("alerts to end", lambda: not self.firing(), SETTLE)

    def measure(self, faults: Mapping[int, Fault]) -> dict[int, Found]:
        """Begins a fault in servers, by their place, at the same time, and ends all once each has its alert."""
        wanted = {at: (fault.alert, self.servers[at].name) for at, fault in faults.items()}
        pids = {at: self.servers[at].pid(fault) for at, fault in faults.items()}
        load, began, seen = os.getloadavg()[0], time.monotonic(), dict[int, float]()
        for at, fault in faults.items():
            self._begin(fault, pids[at])
        try:
            while len(seen) < len(wanted) and time.monotonic() - began < GIVE_UP:
                time.sleep(EVERY)
                firing = self.firing()
                for at in wanted.keys() - seen.keys():
                    if wanted[at] in firing:
                        seen[at] = time.monotonic() - began
        finally:
            for at, fault in faults.items():
                os.kill(pids[at], signal.SIGCONT if fault.how == "stop" else signal.SIGUSR2)
        return {at: Found(seen.get(at), load) for at in faults}

    def false_alarms(self, seconds: float) -> dict[str, int]:
        """The alerts of each server of LOOK_HUNG within that time. None hangs: a prefill of 15 steps of 3 s, such steps
        all the time, and 200 requests that wait."""
        prefill, steps, queue = (one.server.port for one in self.servers)
        found: set[tuple[str, str]] = set()
        with (
            Load(prefill, 1, 400, prompt_tokens=SLOW_PROMPT, max_tokens=5, once=True),
            Load(steps, 4, 400, prompt_tokens=90, max_tokens=50),
            Load(queue, 216, 400, prompt_tokens=2, max_tokens=200),
        ):
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                found |= self.firing()
                time.sleep(EVERY)
        alarms = Counter(server for _, server in found)
        return {name: alarms[one.name] for name, one in zip(LOOK_HUNG, self.servers, strict=True)}

    @contextmanager
    def under_load(self, clients: int = 4, max_tokens: int = 200) -> Iterator[None]:
        with ExitStack() as all_of_them:
            for one in self.servers:
                more = 2 if "--data-parallel-size" in one.server.args else 1  # so that each engine has requests
                load = Load(one.server.port, more * clients, 600, prompt_tokens=4, max_tokens=max_tokens)
                all_of_them.enter_context(load)
            for one in self.servers:
                until("requests to run", lambda one=one: one.server.progress().get("vllm:num_requests_running"), 60)  # type: ignore[misc]
            yield

    def _begin(self, fault: Fault, pid: int) -> None:
        if fault.how == "stop":
            os.kill(pid, signal.SIGSTOP)
            return
        (self.folder / "wedge" / str(pid)).write_text(fault.how)
        os.kill(pid, signal.SIGUSR1)

    def _is_warm(self, one: Running) -> bool:
        page = httpio.get_text(f"{self.stack.urls.exporter}/metrics")
        start = f'vllm_server_stall_limit_seconds{{server="{one.name}"}} '
        limit = next((float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(start)), None)
        return limit is not None and limit < (
            30 if self.inside else 300
        )  # the limit of steps that are known is shorter


@contextmanager
def running_fleet(
    script: Path,
    folder: Path,
    kinds: Sequence[tuple[str, ...]],
    slow: Mapping[str, str] | None = None,
    inside: bool = True,
) -> Iterator[Fleet]:
    """`kinds`: the arguments of each server; `slow`: the environment of slow_steps, where steps are to be slow."""
    for name in ("snapshots", "wedge"):
        (folder / name).mkdir(mode=0o755)
    part_inside = [str(installed(folder / "site"))] if inside else []
    paths = [*part_inside, str(WEDGE), *([str(SLOW_STEPS)] if slow else [])]
    middleware = ("--middleware", "vllm_monitor.Middleware") if inside else ()
    env = {
        "PYTHONPATH": ":".join(paths),
        "VLLM_MONITOR_DIR": str(folder / "snapshots"),
        "WEDGE_DIR": str(folder / "wedge"),
        **(slow or {}),
    }
    ports = [free_port() for _ in kinds]
    with ExitStack() as ends:
        servers: list[Running] = []
        stack = Stack(folder, ports[0], False, ports[1:], {"VLLM_MONITOR_DIR": env["VLLM_MONITOR_DIR"]})
        for number, (port, args) in enumerate(zip(ports, kinds, strict=True)):
            cores = "0|1" if "--data-parallel-size" in args else str(number % 2)
            own = {**env, "VLLM_CPU_OMP_THREADS_BIND": cores}
            server = VllmServer(script, port, (*middleware, *args), own)
            command = ["/bin/bash", str(script), "serve", *server.args]
            environment = {**os.environ, "HOST": "127.0.0.1", "PORT": str(port), **own}
            part = Part("vllm", command, stack.logs / f"vllm-{number}.log", environment, folder)
            part.start()
            ends.callback(part.stop)
            servers.append(Running(stack.name.rpartition(":")[0] + f":{port}", server, part))
        ends.callback(stack.stop)
        stack.start()
        for one in servers:
            one.server.wait_ready(400)
        yield Fleet(stack, servers, folder, inside)


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""

"""Real servers side by side, of which each in turn is under load, so that what the machine does otherwise hits all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness.inside_part import installed
from tests.e2e.harness.paired import quantile
from tests.e2e.harness.processes import Part, descendants
from tests.e2e.harness.vllm_server import VllmServer
from tests.monitor.clients import Client, request
from tests.ports import free_port

CLIENTS = 8
TOKENS = 16  # of each answer
DONE = b"data: [DONE]\n\n\r\n0\r\n\r\n"  # the end of a stream
LONGEST = 60.0  # seconds that one answer may take


@dataclass(frozen=True)
class Variant:
    """A way to start a server. `inside`: with the part; `plugins`: folders of others."""

    args: tuple[str, ...] = ()
    inside: bool = False
    plugins: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """What the clients of a server saw, and the CPU it took, all processes together. Seconds."""

    seconds: float
    firsts: tuple[float, ...]  # to the first token, of each request
    whole: tuple[float, ...]
    cpu: float

    @property
    def throughput(self) -> float:
        return len(self.whole) / self.seconds

    @property
    def first_p99(self) -> float:
        return quantile(self.firsts, 0.99)

    @property
    def cpu_a_request(self) -> float:
        return self.cpu / len(self.whole)


@dataclass
class Side:
    """One of the servers."""

    server: VllmServer
    part: Part
    turns: list[Turn] = field(default_factory=list)

    def turn(self, seconds: float) -> Turn:
        """Lets clients ask for so long."""
        pids = [self.part.pid, *(one.pid for one in descendants(self.part.pid))]
        before, began = sum(map(cpu, pids)), time.monotonic()
        firsts, whole = asyncio.run(ask_for(self.server.port, seconds))
        taken = time.monotonic() - began
        self.turns.append(Turn(taken, tuple(firsts), tuple(whole), sum(map(cpu, pids)) - before))
        return self.turns[-1]


@contextlib.contextmanager
def side_by_side(script: Path, folder: Path, variants: Sequence[Variant]) -> Iterator[list[Side]]:
    """All of them, warm, until the block ends."""
    sides: list[Side] = []
    try:
        for number, variant in enumerate(variants):
            sides.append(_started(script, folder / str(number), variant))
        for side in sides:
            side.server.wait_ready()
        for side in sides:
            side.turn(3.0)
            side.turns.clear()
        yield sides
    finally:
        for side in sides:
            side.part.stop()


def in_turn(sides: int, rounds: int) -> Iterator[int]:
    """The number of each once a round; every round begins with another one."""
    return ((first + number) % sides for first in range(rounds) for number in range(sides))


def _started(script: Path, folder: Path, variant: Variant) -> Side:
    (folder / "snapshots").mkdir(parents=True)
    paths = [*variant.plugins, *([installed(folder / "site")] if variant.inside else [])]
    env = {**variant.env, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    if variant.inside:
        env["VLLM_MONITOR_DIR"] = str(folder / "snapshots")
    server = VllmServer(script, free_port(), ("--max-num-seqs", "16", *variant.args), env)
    command = ["/bin/bash", str(script), "serve", *server.args]
    where = {"HOST": "127.0.0.1", "PORT": str(server.port)}
    part = Part("vllm", command, folder / "vllm.log", {**os.environ, **where, **env}, folder)
    part.start()
    return Side(server, part)


def cpu(pid: int) -> float:
    """Seconds of CPU of a process so far, to the nanosecond: see clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


async def ask_for(port: int, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds to the first token and to the end, of each request that CLIENTS made one after the other.

    Raises AssertionError when an answer is no whole stream.
    """
    firsts: list[float] = []
    whole: list[float] = []
    until = time.monotonic() + seconds

    async def work(number: int) -> None:
        client = Client(port)
        asked = {"model": "tiny", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
        while (began := time.monotonic()) < until:
            body = json.dumps({**asked, "prompt": f"{number} {len(whole)} the quick brown fox"}).encode()
            await client.send(request("/v1/completions", body, {}))
            async with asyncio.timeout(LONGEST):
                head = await client.until(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 "), head
                await client.until(b"data: ")
                firsts.append(time.monotonic() - began)
                rest = await client.until(DONE)
            assert b'"finish_reason":"length"' in rest, rest  # a chunk may have several tokens
            whole.append(time.monotonic() - began)
        client.leave()

    await asyncio.gather(*map(work, range(CLIENTS)))
    return firsts, whole

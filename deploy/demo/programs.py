"""The demo's own programs beside the parts: three servers, and clients for them."""

from __future__ import annotations

import sys

from deploy.config.addresses import HOST
from deploy.demo.world import Server, World
from deploy.native.programs import Program

RATE = 3.0  # requests a second over all servers: each has work most of the time, and a core has little
OUTPUT_TOKENS = 12  # median; the longest of a hundred takes about a second, so that a healthy demo is a quiet one
_FOREVER = 10 * 365 * 86400  # seconds


def demo_programs(world: World) -> tuple[Program, ...]:
    """Returns the programs in start order: servers before clients. They stop in reverse."""
    return (*(_server(world, server) for server in world.servers), _load(world))


def _server(world: World, server: Server) -> Program:
    """Is not restarted after exit code 0 (supervisord's default), with which vLLM ends when its engine was killed."""
    shim = world.root / "deploy" / "simulator" / "bin" / "vllm"
    command = (sys.executable, str(shim), "serve", "sim", "--port", str(server.port), "--seed", str(server.number))
    state = ("--state", str(world.state(server)))
    return Program(
        server.program, (*command, *state), server.port, "/health", {}, autorestart="unexpected", stop_seconds=5
    )


def _load(world: World) -> Program:
    targets = ",".join(f"{HOST}:{server.port}" for server in world.servers)
    numbers = {"--rate": RATE, "--output-tokens": OUTPUT_TOKENS, "--in-flight": 64, "--seconds": _FOREVER}
    flags = [
        word for flag, value in numbers.items() for word in (flag, f"{value:g}" if flag == "--rate" else str(value))
    ]
    command = (sys.executable, "-m", "deploy.simulator", "load", "--targets", targets, *flags)
    return Program("load", command, 0, "", {"PYTHONPATH": str(world.root)}, stop_seconds=2)

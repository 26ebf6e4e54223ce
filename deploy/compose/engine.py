"""Calls `docker compose` with the files of this checkout."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import ComposeError

PROJECT = "vllm-monitor"  # as docker-compose.yml names it
NVIDIA = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str


class Compose:
    """This checkout's project. COMPOSE_FILE and COMPOSE_PROJECT_NAME of the user go before our choice."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = dict(environ)

    @property
    def project(self) -> str:
        return self._environ.get("COMPOSE_PROJECT_NAME") or PROJECT

    def command(self, *arguments: str) -> list[str]:
        overlay = ["-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml"] if self._use_gpu() else []
        return ["docker", "compose", *overlay, *arguments]

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> int:
        """Runs the command with its output on the terminal. Returns its exit code."""
        return subprocess.run(
            self.command(*arguments), cwd=self._root, env={**self._environ, **(env or {})}, check=False
        ).returncode

    def ask(self, *arguments: str) -> CommandResult:
        return self._capture(self.command(*arguments))

    def docker(self, *arguments: str) -> CommandResult:
        return self._capture(["docker", *arguments])

    def volumes(self) -> tuple[str, ...]:
        """Returns the project's volumes, whatever profile made them."""
        label = f"label=com.docker.compose.project={self.project}"
        return tuple(self._capture(["docker", "volume", "ls", "-q", "--filter", label]).out.split())

    def containers(self) -> tuple[Mapping[str, object], ...]:
        """Returns the project's containers, running or not. Raises ComposeError."""
        answer = self.ask("--profile", "*", "ps", "-a", "--format", "json")
        if answer.code:
            raise ComposeError(f"docker compose ps: {answer.err.strip()}")
        return parse_containers(answer.out)

    def _use_gpu(self) -> bool:
        """True if this host has an NVIDIA driver and Docker knows its runtime."""
        if self._environ.get("COMPOSE_FILE") or not NVIDIA.exists():
            return False
        return '"nvidia"' in self._capture(["docker", "info", "--format", "{{json .Runtimes}}"]).out

    def _capture(self, command: Sequence[str]) -> CommandResult:
        try:
            done = subprocess.run(
                command, cwd=self._root, env=self._environ, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise ComposeError(f"{command[0]} is not installed: NATIVE=1 runs everything without it") from error
        return CommandResult(done.returncode, done.stdout, done.stderr)


def parse_containers(text: str) -> tuple[Mapping[str, object], ...]:
    """Reads one JSON object a line, or the one list that releases before 2.21 printed."""
    values = [json.loads(line) for line in text.splitlines() if line.strip()]
    return tuple(values[0] if values and isinstance(values[0], list) else values)

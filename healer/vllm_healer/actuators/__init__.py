"""The ways to act on a server. The only package that signals processes or commands a supervisor."""

from __future__ import annotations

from vllm_healer.actuators.docker import DockerActuator
from vllm_healer.actuators.dry_run import DryRun
from vllm_healer.actuators.supervisord import Remembered, Supervisord
from vllm_healer.ports import Actuator

__all__ = ["DockerActuator", "DryRun", "Remembered", "Supervisord", "make_actuators"]


def make_actuators(remembered: Remembered) -> dict[str, Actuator]:
    """All actuators, by their names in healer.yml. `remembered` returns the process trees of earlier incarnations."""
    return {"supervisord": Supervisord(remembered), "docker": DockerActuator(), "dry_run": DryRun()}

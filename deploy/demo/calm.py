"""Waits until everything is as it must be before something is broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from deploy.demo.errors import NoDemo, NotCalm
from deploy.demo.reading import Reader, read_alerts, read_samples
from deploy.demo.seen import HEALED, Seen
from deploy.demo.world import Server, World
from deploy.native.health import read_sample, wait_for
from deploy.native.supervisor import Supervisor

START_SECONDS = 60.0  # the whole stack is ready in about 20; a busy machine needs longer
CALM_SECONDS = 90.0  # the alerts of the scene before are over by then
_POLL_SECONDS = 0.5
_WATCHDOG = "Watchdog"  # the alert that always fires: the healer acts on nothing without it
_BUSY = ("acting", "verifying")
# What tells of load or of a healing lasts for minutes after it, and changes nothing in what comes next.
_LATE = frozenset({"HighLatency", "HighErrorRate", "LowThroughput", "VllmProcessDied", "VllmRestartsOften", HEALED})


def wait_ready(world: World) -> None:
    """Waits until all parts see each server, so that what breaks from now on is found and healed. Raises NotCalm."""
    _wait(
        lambda: all(is_well(*read_samples(world, server)) for server in world.servers),
        START_SECONDS,
        "the servers to be seen ready",
    )
    since = time.time()
    _wait(lambda: _watchdog(world), START_SECONDS, "the Watchdog alert to arrive")
    _wait(lambda: _reconciled(world) > since, START_SECONDS, "the healer to look at the servers")
    time.sleep(_POLL_SECONDS)  # the servers are looked at in the same round, beside what is dated


def wait_calm(world: World, server: Server) -> Seen:
    """Waits until nothing is left of an earlier scene. Raises NotCalm."""
    reader = Reader(world, server)
    _wait(lambda: is_calm(reader.look()), CALM_SECONDS, f"{server.words} to be calm")
    since = time.time()
    _wait(lambda: _reconciled(world) > since, CALM_SECONDS, "the healer to look at the servers")
    return reader.look()


def check_running(world: World) -> None:
    """Raises NoDemo."""
    if not Supervisor(world.layout).pid():
        raise NoDemo("the demo is not running: `make demo` starts it")


def is_calm(seen: Seen) -> bool:
    """True if the server is ready, has no alert but late ones, and the healer works on nothing of it."""
    alerts = {alert.name for alert in seen.alerts}
    return is_well(seen.samples, seen.probe) and alerts <= _LATE and seen.incident_state not in _BUSY


def is_well(samples: Mapping[str, float], probe: str) -> bool:
    return probe == "ok" and samples.get("vllm_server_ready") == 1


def _watchdog(world: World) -> bool:
    return any(alert.name == _WATCHDOG for alert in read_alerts(world, None))


def _reconciled(world: World) -> float:
    """Returns when the healer last compared itself with Alertmanager and the servers, in seconds since the epoch."""
    return read_sample(world.ports.healer, "vllm_healer_last_reconcile_timestamp_seconds") or 0.0


def _wait(ready: Callable[[], bool], seconds: float, what: str) -> None:
    if not wait_for(ready, seconds):
        raise NotCalm(f"waited {seconds:.0f} s for {what}: `make demo-down` and `make demo` begin anew")

"""Docker: starts and stops a container.

Docker does all stopping and starting, so that its own restart policy cannot race with ours, and a container's processes
end with its PID namespace, so that nothing is left to signal. It wants only three requests about the containers that
healer.yml lists: put the proxy of docker-compose.yml between this and the socket, which is worth root.
"""

from __future__ import annotations

from vllm_healer.actuators.docker_api import TIMEOUT, Container, Docker
from vllm_healer.actuators.vllm_http import ask_server
from vllm_healer.errors import PermanentError
from vllm_healer.model import NO_INCARNATION, Incarnation, ProcessRef, RunState, SupervisorView, Target

BY_REQUEST = (137, 143)  # ended by SIGKILL or SIGTERM: exit codes of `docker kill` and `docker stop`
ITSELF = frozenset({"always", "unless-stopped"})  # policies that start again whatever its exit code was


class DockerActuator:
    """The actuator. Stateless. Safe to call from several threads."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout

    def observe(self, target: Target) -> SupervisorView:
        container = self._docker(target).inspect()
        return SupervisorView(
            state=choose_state(container),
            incarnation=choose_incarnation(container),
            last_start=container.started,
            restarts_itself=container.policy in ITSELF,
            forwarded=container.network != "host",
            no_way_back=choose_no_way_back(container),
            detail=describe(container),
        )

    def stop(self, target: Target, grace: float) -> None:
        """Stops the container and returns when it has ended."""
        self._docker(target).stop(grace)

    def start(self, target: Target) -> None:
        self._docker(target).start()

    def signal(
        self, target: Target, processes: tuple[ProcessRef, ...], number: int, wait: float
    ) -> tuple[ProcessRef, ...]:
        raise PermanentError(f"the processes of {target.server} are Docker's: it stops and starts all of them together")

    def http(self, target: Target, method: str, path: str, body: object, timeout: float) -> str:
        return ask_server(target, method, path, body, timeout)

    def _docker(self, target: Target) -> Docker:
        return Docker(target, self._timeout)


def choose_state(container: Container) -> RunState:
    """The container's state in the healer's words. One that is down because somebody wants it so is STOPPED.

    The words are Docker's and, behind them, those that Podman's API has besides.
    """
    known = {
        "running": RunState.RUNNING,
        "restarting": RunState.STARTING,  # its policy waits a moment before it starts it again
        "paused": RunState.STOPPED,  # nothing but a person pauses
        "created": _choose_created(container),
        "removing": RunState.STOPPING,
        "dead": RunState.FATAL,  # could not be removed
        "exited": _choose_ended(container),
        "stopped": _choose_ended(container),  # ended, and not tidied up yet
        "configured": _choose_created(container),
        "initialized": _choose_created(container),
        "stopping": RunState.STOPPING,
    }
    return known.get(container.word, RunState.UNKNOWN)


def _choose_created(container: Container) -> RunState:
    """The state of a container that never ran: somebody tried to start it and could not, or nobody has tried yet."""
    return RunState.FATAL if container.trouble else RunState.STOPPED


def choose_no_way_back(container: Container) -> str:
    """Words for why a start after a stop would find nothing to start, or something else in its place; '' if neither."""
    if container.removed_at_end:
        return "it was run with --rm, so a stop removes it; run it without --rm, with --restart unless-stopped"
    if container.word in ("removing", "dead"):
        return f"the container is {container.word}: it is about to be removed and cannot be started; make it anew"
    if container.owner:
        return f"{container.owner} owns it and puts another in its place when it ends; let {container.owner} restart it"
    return ""


def _choose_ended(container: Container) -> RunState:
    """The state of a container that has ended. Docker does not say who ended it; policy, exit code and counter tell."""
    if container.trouble:
        return RunState.FATAL  # the last start failed, and Docker does not try again
    if container.policy in ITSELF:
        return RunState.STOPPED  # else it would be started again
    if container.exit_code in BY_REQUEST and not container.out_of_memory:
        return RunState.STOPPED
    if container.policy == "on-failure" and container.exit_code != 0:
        return RunState.FATAL if 0 < container.retries <= container.restarts else RunState.STOPPED
    return RunState.EXITED  # also 0: an engine that dies takes its server along with that code


def choose_incarnation(container: Container) -> Incarnation:
    if not is_alive(container) or not container.pid:
        return NO_INCARNATION
    return Incarnation(f"{container.id}/{container.started_at}", container.pid, container.started)


def is_alive(container: Container) -> bool:
    """True also while Docker's restart policy is about to start it, since `stop` ends that too."""
    return container.word in ("running", "paused", "restarting")


def describe(container: Container) -> str:
    facts = [f"Docker says {container.word}", f"restart policy {container.policy}"]
    facts += [f"pid {container.pid}"] if container.pid else [f"exit code {container.exit_code}"]
    facts += ["out of memory"] if container.out_of_memory else []
    facts += [container.trouble] if container.trouble else []
    facts += [f"health {container.health}"] if container.health else []
    return ", ".join(facts)

"""Docker: restarts a container whose processes no longer obey.

Docker does all stopping and starting, so that its own restart policy cannot race with ours, and a container's processes
end with its PID namespace, so that nothing is left to reap. It wants only three requests about the containers that
healer.yml lists: put the proxy of docker-compose.yml between this and the socket, which is worth root.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vllm_healer.actuators.docker_api import TIMEOUT, Container, Docker
from vllm_healer.model import NO_INCARNATION, Incarnation, Outcome, Result, RunState, SupervisorView, Target

GRACE = 2.0  # seconds from SIGTERM to SIGKILL: a stalled engine answers nobody, so nothing is drained
POLL = 0.2  # seconds between two looks at a container that is starting
BY_REQUEST = (137, 143)  # ended by SIGKILL or SIGTERM: exit codes of `docker kill` and `docker stop`
ITSELF = frozenset({"always", "unless-stopped"})  # policies that start again whatever its exit code was


class DockerActuator:
    """The actuator. Stateless. Safe to call from several threads."""

    def __init__(
        self,
        timeout: float = TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._timeout = timeout
        self._monotonic = monotonic
        self._sleep = sleep

    def view(self, target: Target) -> SupervisorView:
        container = Docker(target, self._timeout).inspect()
        return SupervisorView(
            state=choose_state(container),
            incarnation=choose_incarnation(container),
            restarts_itself=container.policy in ITSELF,
            detail=describe(container),
        )

    def restart(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        """See the port. `deadline`: seconds from now in which it must have stopped and started; loading comes later."""
        docker, end = Docker(target, self._timeout), self._monotonic() + deadline
        container = docker.inspect()
        if is_alive(container) and not is_superseded(container, incarnation):
            step("stop")
            container = docker.inspect()  # the journal took its time: the incarnation is read just before
        if is_superseded(container, incarnation):
            words = f"{target.server} was already started again ({describe(container)}); nothing was done"
            return Result(Outcome.ALREADY, words, choose_incarnation(container).key)
        if is_alive(container):
            docker.stop(GRACE)
        step("start")
        docker.start()
        container = self._started(docker, incarnation, end)
        words = f"restarted container {docker.container} of {target.server}: {describe(container)}"
        return Result(Outcome.DONE, words, choose_incarnation(container).key)

    def reap(self, target: Target, incarnation: str, step: Callable[[str], None], deadline: float) -> Result:
        """Nothing to do: the kernel ends all processes of a container with its first one (pid_namespaces(7))."""
        return Result(Outcome.ALREADY, f"{target.server} runs in a container, which leaves no orphans", incarnation)

    def _started(self, docker: Docker, incarnation: str, end: float) -> Container:
        """Waits for the new process, not for the model: verification does that."""
        container, old = docker.inspect(), (incarnation, NO_INCARNATION.key)
        while choose_incarnation(container).key in old and is_alive(container) and self._monotonic() < end:
            self._sleep(POLL)
            container = docker.inspect()
        return container


def choose_state(container: Container) -> RunState:
    """In the healer's words. A container that is not running by somebody's will is STOPPED."""
    known = {
        "running": RunState.RUNNING,
        "restarting": RunState.STARTING,  # its policy waits a moment before it starts it again
        "paused": RunState.STOPPED,  # nothing but a person pauses
        "created": RunState.STOPPED,  # nobody has started it yet
        "removing": RunState.STOPPING,
        "dead": RunState.FATAL,  # could not be removed
        "exited": _choose_ended(container),
    }
    return known.get(container.word, RunState.UNKNOWN)


def _choose_ended(container: Container) -> RunState:
    """Docker does not say who ended it; policy, exit code and counter do, as far as they can."""
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
    """Also while its policy is about to start it: `stop` ends that too."""
    return container.word in ("running", "paused", "restarting")


def is_superseded(container: Container, incarnation: str) -> bool:
    """Another incarnation lives, or Docker is about to start one by itself."""
    present = choose_incarnation(container).key
    if present == NO_INCARNATION.key:
        return container.word == "restarting" and incarnation != present
    return present != incarnation


def describe(container: Container) -> str:
    facts = [f"Docker says {container.word}", f"restart policy {container.policy}"]
    facts += [f"pid {container.pid}"] if container.pid else [f"exit code {container.exit_code}"]
    facts += ["out of memory"] if container.out_of_memory else []
    facts += [container.trouble] if container.trouble else []
    facts += [f"health {container.health}"] if container.health else []
    return ", ".join(facts)

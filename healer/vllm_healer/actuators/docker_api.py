"""Docker's Engine API over a unix socket, as far as it is used: look at one container, stop it, start it.

Only paths below /v1.NN/containers/<name>/ are asked, so that a proxy in front of the socket can refuse all others.
https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from vllm_healer.actuators.unix_http import MAX_BODY, SCHEME, UnixConnection
from vllm_healer.actuators.unreachable import Unmanaged, Unreachable
from vllm_healer.errors import TemporaryError
from vllm_healer.model import Target

TIMEOUT = 5.0  # seconds for a look; Docker answers in milliseconds, and slower only while it is stuck
STOP_MARGIN = 20.0  # seconds beyond the grace in which Docker takes a killed container apart
START_TIMEOUT = 60.0  # seconds; attaching GPUs and networks takes some, loading the model is not part of it
VERSION = "1.44"  # the oldest that Docker 29 speaks; an older or later engine says its own, which is then used
# Labels by which an orchestrator marks a container that is its own.
OWNERS = {
    "com.docker.swarm.task.id": "Docker Swarm",
    "io.kubernetes.pod.name": "Kubernetes",
    "com.hashicorp.nomad.alloc_id": "Nomad",
    "com.amazonaws.ecs.task-arn": "Amazon ECS",
    "net.azure-devices.edge.owner": "Azure IoT Edge",
    "io.balena.supervised": "balena",
    "PODMAN_SYSTEMD_UNIT": "systemd",  # a unit's `podman run`, as of Quadlet
}
OWNS_NOTHING = "podman-compose@"  # the unit that podman-compose names on each container, whether there is one or not


@dataclass(frozen=True)
class Answer:
    """Docker's answer to one request; `version` is the newest API version that the engine speaks."""

    status: int
    body: bytes
    version: str

    @property
    def message(self) -> str:
        """Docker's own message, in one line."""
        try:
            words = json.loads(self.body)["message"]
        except (ValueError, LookupError, TypeError, RecursionError):
            words = self.body.decode("utf-8", "replace")
        return " ".join(str(words).split())[:300]


@dataclass(frozen=True)
class Container:
    """GET /containers/<name>/json, as far as it is used."""

    id: str
    word: str  # the engine's own name of the state: running, exited, paused …
    started_at: str  # as Docker writes it; changes with every start
    pid: int  # on Docker's host; 0 without a process
    exit_code: int
    out_of_memory: bool  # the container's own limit killed it
    trouble: str  # why the last start failed
    policy: str  # no, on-failure, always, unless-stopped
    retries: int  # of on-failure; 0: without end
    restarts: int  # by the policy since the last start by hand
    health: str  # of its HEALTHCHECK; '' without one
    removed_at_end: bool = False  # run with --rm: nothing is left of it once it ends
    network: str = ""  # host, bridge, the name of one; '' when it is not said
    owner: str = ""  # the orchestrator that made it and replaces it once it ends; '' for a container of its own

    @property
    def started(self) -> float:
        """The time of its start, in seconds since the epoch; 0 when that is not known."""
        try:
            return max(0.0, datetime.fromisoformat(self.started_at).timestamp())
        except (ValueError, OverflowError):
            return 0.0


class Docker:
    """One container of one engine, for one thread. A new connection for each call."""

    def __init__(self, target: Target, timeout: float = TIMEOUT) -> None:
        self._socket = target.options.get("socket", "")
        self.container = target.options.get("container", "")
        self._timeout = timeout
        self._version = VERSION

    def inspect(self) -> Container:
        answer = self._call("GET", "json", self._timeout)
        if answer.status != 200:
            raise Unreachable(f"{self._where}: looking at {self.container}: HTTP {answer.status} {answer.message}")
        return parse_container(answer.body, self._where)

    def stop(self, grace: float) -> None:
        """Sends SIGTERM, and SIGKILL after `grace` seconds. Returns when it has ended; its policy starts it no more."""
        self._command("stop", f"?t={grace:.0f}", grace + STOP_MARGIN)

    def start(self) -> None:
        self._command("start", "", START_TIMEOUT)

    @property
    def _where(self) -> str:
        return f"Docker at {self._socket}"

    def _command(self, verb: str, query: str, timeout: float) -> None:
        """Sends a command. Docker answers 204, others 200, and 304 when there is nothing to do, which is fine."""
        answer = self._call("POST", f"{verb}{query}", timeout)
        if answer.status not in (200, 204, 304):
            words = f"{self._where}: {verb} {self.container}: HTTP {answer.status} {answer.message}"
            raise TemporaryError(words)

    def _call(self, method: str, rest: str, timeout: float) -> Answer:
        """Asks again with the engine's own version where it does not speak ours. Raises Unreachable or Unmanaged."""
        answer = self._once(method, rest, timeout)
        if answer.status == 400 and answer.version not in ("", self._version):
            self._version = answer.version
            answer = self._once(method, rest, timeout)
        if answer.status == 404:
            raise Unmanaged(f"{self._where} has no container {self.container!r}: {answer.message}")
        if answer.status in (401, 403):
            fix = "list it in healer.yml, then `make up`"
            raise Unmanaged(f"the proxy at {self._socket} lets nobody {method} {self.container}/{rest}; {fix}")
        return answer

    def _once(self, method: str, rest: str, timeout: float) -> Answer:
        connection = UnixConnection(self._socket.removeprefix(SCHEME), timeout)
        try:
            connection.request(method, f"/v{self._version}/containers/{quote(self.container, safe='')}/{rest}")
            response = connection.getresponse()
            return Answer(response.status, response.read(MAX_BODY), response.getheader("Api-Version") or "")
        except (OSError, http.client.HTTPException) as error:
            verb = rest.partition("?")[0]
            words = str(error) or type(error).__name__
            raise Unreachable(f"{self._where} did not answer {method} {self.container}/{verb}: {words}") from error
        finally:
            connection.close()


def parse_container(body: bytes, where: str) -> Container:
    """The container that Docker describes. Raises Unreachable when the text is no such description."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreachable(f"{where} answered {body[:60]!r} instead of a container") from error
    state, host = _mapping(values, "State"), _mapping(values, "HostConfig")
    policy, labels = _mapping(host, "RestartPolicy"), _mapping(_mapping(values, "Config"), "Labels")
    if not state or not isinstance(values.get("Id"), str):
        raise Unreachable(f"{where} answered {body[:60]!r} instead of a container")
    return Container(
        id=values["Id"],
        word=str(state.get("Status") or "").lower(),
        started_at=str(state.get("StartedAt") or ""),
        pid=_whole(state.get("Pid")),
        exit_code=_whole(state.get("ExitCode")),
        out_of_memory=state.get("OOMKilled") is True,
        trouble=str(state.get("Error") or ""),
        policy=str(policy.get("Name") or "no"),
        retries=_whole(policy.get("MaximumRetryCount")),
        restarts=_whole(values.get("RestartCount")),
        health=str(_mapping(state, "Health").get("Status") or ""),
        removed_at_end=host.get("AutoRemove") is True,
        network=str(host.get("NetworkMode") or ""),
        owner=_owner(labels),
    )


def _owner(labels: Mapping[str, object]) -> str:
    marks = {label for label, value in labels.items() if not str(value).startswith(OWNS_NOTHING)}
    return next((owner for label, owner in OWNERS.items() if label in marks), "")


def _mapping(values: object, key: str) -> Mapping[str, object]:
    inner = values.get(key) if isinstance(values, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0

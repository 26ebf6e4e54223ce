"""Breaks a server, and mends it as a person would."""

from __future__ import annotations

import http.client
import json

from deploy.config.addresses import HOST
from deploy.demo.errors import DemoError, NotCalm
from deploy.demo.failures import STOP, DemoFailure
from deploy.demo.world import Server, World
from deploy.native.health import is_healthy, wait_for
from deploy.native.supervisor import RUNNING, Supervisor
from deploy.simulator.failures.state import FileState

_ANSWER_SECONDS = 5.0  # a server whose engine hangs answers all the same
_READY_SECONDS = 30.0  # a start takes 3
_HEALTHY_SECONDS = 5.0  # a mended server that is up is well within this


def inflict(world: World, server: Server, failure: DemoFailure) -> None:
    """Breaks the server. Raises DemoError when it cannot be broken that way."""
    if failure.name == STOP:
        Supervisor(world.layout).stop_process(server.program)
        return
    status, words = _post(server.port, "/sim/break", {"how": failure.name})
    if status != 200:
        raise DemoError(f"{server.words} cannot be broken: {words}")


def mend(world: World, server: Server) -> None:
    """Ends the failure, starts a server again that is not well by then, and returns when it is ready."""
    FileState(world.state(server)).write(None)
    _post(server.port, "/sim/mend", {})
    if not _ready_within(server, _HEALTHY_SECONDS):
        _start_again(world, server)
    if not _ready_within(server, _READY_SECONDS):
        raise NotCalm(f"{server.words} does not come back: see {world.layout.log(server.program)}")


def _start_again(world: World, server: Server) -> None:
    supervisor = Supervisor(world.layout)
    state = next(one.state for one in supervisor.processes() if one.name == server.program)
    if state in RUNNING:
        supervisor.stop_process(server.program)
    supervisor.start_process(server.program)


def _ready_within(server: Server, seconds: float) -> bool:
    return wait_for(lambda: is_healthy(server.port, "/health"), seconds)


def _post(port: int, path: str, body: object) -> tuple[int, str]:
    """Returns status and words; status 0 when nobody answers, which is normal for a server that is down."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        return response.status, str(answer.get("error", ""))
    except ConnectionResetError:
        return 200, ""  # it died of it before it could say so
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()

"""The docker actuator against a server that speaks Docker's Engine API over a unix socket."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.healer.actuators.acting import handle, reap, restart
from vllm_healer.actuators.docker import DockerActuator, choose_state
from vllm_healer.actuators.docker_api import Container, parse_container
from vllm_healer.errors import Blind, PermanentError, Superseded, TemporaryError
from vllm_healer.model import Outcome, ProcessRef, RunState
from vllm_healer.remediations.restart_engine import RestartEngine

EXITED = Container("c0ffee", "exited", "2026-01-01T00:00:00Z", 0, 0, False, "", "no", 0, 0, "")


class Crash(Exception):
    """The healer dies here."""


def crash_at(step: str) -> Callable[[str], None]:
    def die(name: str) -> None:
        if name == step:
            raise Crash

    return die


def test_sees_a_running_container(engine: Any) -> None:
    view = DockerActuator().observe(engine.target)
    assert view.state is RunState.RUNNING
    assert (view.incarnation.key, view.incarnation.pid) == (engine.key(1), 4001)
    assert view.incarnation.started == pytest.approx(1767225601.123456)  # 2026-01-01T00:00:01.123456Z
    assert view.restarts_itself is True
    assert view.last_start == view.incarnation.started
    assert view.detail == "Docker says running, restart policy unless-stopped, pid 4001"
    assert (view.tree, view.orphans) == ((), ())


def test_restarts_once(engine: Any) -> None:
    result, steps = restart(DockerActuator(), engine.target, engine.key(1))
    assert (result.outcome, result.incarnation) == (Outcome.DONE, engine.key(2))
    assert steps == ["stop", "start"]
    assert engine.verbs == ["stop?t=2", "start"]


def test_what_was_restarted_meanwhile_is_left_alone(engine: Any) -> None:
    engine.starts = 2
    result, steps = restart(DockerActuator(), engine.target, engine.key(1))
    assert (result.outcome, result.incarnation) == (Outcome.ALREADY, engine.key(2))
    assert (steps, engine.verbs) == ([], [])


def test_what_is_restarted_while_the_step_is_journalled_is_left_alone(engine: Any) -> None:
    def step(name: str) -> None:
        engine.starts = 2

    with pytest.raises(Superseded) as left_alone:
        RestartEngine().carry_out(handle(DockerActuator(), engine.target, engine.key(1), step))
    assert left_alone.value.incarnation == engine.key(2)
    assert engine.verbs == []


def test_what_docker_is_about_to_start_itself_is_left_alone(engine: Any) -> None:
    engine.status = "restarting"
    result, steps = restart(DockerActuator(), engine.target, engine.key(1))
    assert result.outcome is Outcome.ALREADY
    assert (steps, engine.verbs) == ([], [])


def test_starts_what_has_ended_without_stopping_it(engine: Any) -> None:
    engine.status = "exited"
    result, steps = restart(DockerActuator(), engine.target, "none")
    assert (result.outcome, result.incarnation) == (Outcome.DONE, engine.key(2))
    assert (steps, engine.verbs) == (["start"], ["start"])


@pytest.mark.parametrize("step", ["stop", "start"])
def test_after_a_crash_it_goes_on_and_restarts_once(engine: Any, step: str) -> None:
    with pytest.raises(Crash):
        RestartEngine().carry_out(handle(DockerActuator(), engine.target, engine.key(1), crash_at(step)))
    result, _ = restart(DockerActuator(), engine.target, engine.key(1))
    assert result.incarnation == engine.key(2)
    assert engine.verbs == ["stop?t=2", "start"]


def test_after_a_crash_behind_the_start_nothing_is_repeated(engine: Any) -> None:
    restart(DockerActuator(), engine.target, engine.key(1))
    result, steps = restart(DockerActuator(), engine.target, engine.key(1))
    assert result.outcome is Outcome.ALREADY
    assert (steps, engine.verbs) == ([], ["stop?t=2", "start"])


def test_a_start_by_another_in_between_is_no_error(engine: Any) -> None:
    def another_starts() -> None:
        engine.status, engine.starts = "running", 2

    engine.before["start"] = another_starts
    result, _ = restart(DockerActuator(), engine.target, engine.key(1))
    assert (result.outcome, result.incarnation) == (Outcome.DONE, engine.key(2))


def test_a_container_has_no_orphans_to_reap(engine: Any) -> None:
    result, steps = reap(DockerActuator(), engine.target, engine.key(1))
    assert result.outcome is Outcome.ALREADY
    assert (steps, engine.verbs) == ([], [])


def test_a_containers_processes_are_never_signalled_one_by_one(engine: Any) -> None:
    stranger = ProcessRef(4001, 1, "api_server", "vllm serve")
    with pytest.raises(PermanentError, match="the processes of gpu1:8000 are Docker's"):
        DockerActuator().signal(engine.target, (stranger,), signal.SIGTERM, 1.0)


def test_speaks_the_version_of_an_older_engine(engine: Any) -> None:
    engine.version = "1.41"
    result, _ = restart(DockerActuator(), engine.target, engine.key(1))
    assert result.outcome is Outcome.DONE
    assert engine.requests[0] == "GET /v1.41/containers/vllm/json"


def test_a_stop_that_docker_refuses_is_tried_again_later(engine: Any) -> None:
    engine.refuse["stop"] = (500, "tried to kill container, but did not receive an exit event")
    with pytest.raises(TemporaryError, match=r"stop vllm: HTTP 500 tried to kill container, but did not receive"):
        RestartEngine().carry_out(handle(DockerActuator(), engine.target, engine.key(1)))
    assert engine.verbs == ["stop?t=2"]


def test_a_request_that_the_proxy_refuses_names_the_fix(engine: Any) -> None:
    engine.refuse["stop"] = (403, "")
    with pytest.raises(
        PermanentError, match=r"lets nobody POST vllm/stop\?t=2; list it in healer\.yml, then `make up`"
    ):
        RestartEngine().carry_out(handle(DockerActuator(), engine.target, engine.key(1)))


def test_an_unknown_container_is_named_and_not_tried_again(engine: Any) -> None:
    target = engine.target
    engine.name = "other"
    with pytest.raises(PermanentError, match="has no container 'vllm': No such container: vllm") as caught:
        DockerActuator().observe(target)
    assert isinstance(caught.value, Blind)


def test_without_docker_it_is_blind(engine: Any) -> None:
    engine.path.unlink()
    with pytest.raises(Blind, match=r"did not answer GET vllm/json: .*No such file"):
        DockerActuator().observe(engine.target)


def test_a_docker_that_hangs_is_given_up_on(engine: Any) -> None:
    engine.path.unlink()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(engine.path))
        silent.listen()
        with pytest.raises(TemporaryError, match="timed out"):
            DockerActuator(timeout=0.1).observe(engine.target)


SWARM = {"com.docker.swarm.task.id": "t4sk"}
POD = {"io.kubernetes.pod.name": "vllm-0"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": {"AutoRemove": True}}, "it was run with --rm, so a stop removes it"),
        ({"labels": SWARM}, "Docker Swarm owns it and puts another in its place when it ends"),
        ({"labels": POD}, "Kubernetes owns it and puts another in its place when it ends"),
        ({"labels": {"com.hashicorp.nomad.alloc_id": "a110c"}}, "Nomad owns it and puts another in its place"),
        ({"labels": {"com.amazonaws.ecs.task-arn": "arn:aws:ecs"}}, "Amazon ECS owns it and puts another in its place"),
        ({"labels": {"PODMAN_SYSTEMD_UNIT": "vllm.service"}}, "systemd owns it and puts another in its place"),
        ({"state": {"Status": "dead"}}, "the container is dead: it is about to be removed and cannot be started"),
        ({"state": {"Status": "removing"}}, "the container is removing: it is about to be removed"),
    ],
)
def test_says_why_a_start_could_not_follow_a_stop(engine: Any, changes: dict[str, Any], words: str) -> None:
    vars(engine).update(changes)
    assert DockerActuator().observe(engine.target).no_way_back.startswith(words)


@pytest.mark.parametrize("host", [{}, {"AutoRemove": False}, {"AutoRemove": None}])
def test_a_container_that_stays_after_its_end_may_be_stopped(engine: Any, host: dict[str, Any]) -> None:
    engine.host = host
    assert DockerActuator().observe(engine.target).no_way_back == ""


def test_a_container_of_compose_is_its_own_also_of_podman_compose(engine: Any) -> None:
    """podman-compose names a unit on each container, and there need not be one."""
    engine.labels = {
        "com.docker.compose.project": "llm",
        "io.podman.compose.project": "llm",
        "PODMAN_SYSTEMD_UNIT": "podman-compose@llm.service",
    }
    assert DockerActuator().observe(engine.target).no_way_back == ""


def test_an_engine_that_says_200_to_a_command_has_obeyed(engine: Any) -> None:
    engine.refuse = {"stop": (200, "")}
    DockerActuator().stop(engine.target, 1.0)


def test_a_container_that_was_run_with_rm_is_never_stopped(engine: Any) -> None:
    engine.host = {"AutoRemove": True}
    result, steps = restart(DockerActuator(), engine.target, engine.key(1))
    assert (result.outcome, result.retry_after) == (Outcome.FAILED, 0.0)
    assert "run it without --rm" in result.words
    assert (steps, engine.verbs) == ([], [])


@pytest.mark.parametrize(
    ("network", "forwarded"), [("host", False), ("bridge", True), ("vllm_default", True), ("", True)]
)
def test_docker_listens_for_a_container_unless_it_has_the_hosts_network(
    engine: Any, network: str, forwarded: bool
) -> None:
    engine.host = {"NetworkMode": network}
    assert DockerActuator().observe(engine.target).forwarded is forwarded


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"Id": 1, "State": {"Status": "running"}}', b'{"State": 3}'])
def test_an_answer_that_is_no_container_is_blind(body: bytes) -> None:
    with pytest.raises(Blind, match="instead of a container"):
        parse_container(body, "Docker")


def test_a_container_without_policy_or_health_is_read() -> None:
    body = json.dumps({"Id": "abc", "State": {"Status": "exited", "ExitCode": 3}}).encode()
    seen = parse_container(body, "Docker")
    assert (seen.policy, seen.health, seen.exit_code, seen.started) == ("no", "", 3, 0.0)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (replace(EXITED, word="running"), RunState.RUNNING),
        (replace(EXITED, word="restarting"), RunState.STARTING),
        (replace(EXITED, word="paused"), RunState.STOPPED),
        (replace(EXITED, word="created"), RunState.STOPPED),
        # Its first start failed: moby keeps the word and writes the error.
        (replace(EXITED, word="created", trouble="could not select device driver"), RunState.FATAL),
        (replace(EXITED, word="removing"), RunState.STOPPING),
        # Podman's own words, podman-container-tools/podman#17728: ended and not tidied up, made and not started.
        (replace(EXITED, word="stopped", exit_code=139), RunState.EXITED),
        (replace(EXITED, word="stopped", exit_code=143), RunState.STOPPED),
        (replace(EXITED, word="stopped", policy="always", exit_code=1), RunState.STOPPED),
        (replace(EXITED, word="configured"), RunState.STOPPED),
        (replace(EXITED, word="initialized"), RunState.STOPPED),
        (replace(EXITED, word="stopping"), RunState.STOPPING),
        (replace(EXITED, word="unknown"), RunState.UNKNOWN),
        (replace(EXITED, word=""), RunState.UNKNOWN),
        (replace(EXITED, word="hibernating"), RunState.UNKNOWN),
        # Docker would have started it again, had nobody stopped it.
        (replace(EXITED, policy="always", exit_code=1), RunState.STOPPED),
        (replace(EXITED, policy="unless-stopped"), RunState.STOPPED),
        # Docker has given up: a device is missing, a port is taken.
        (replace(EXITED, policy="unless-stopped", trouble="no such device"), RunState.FATAL),
        # Nobody restarts these: a dead engine, an error, the container's memory limit.
        (EXITED, RunState.EXITED),
        (replace(EXITED, exit_code=1), RunState.EXITED),
        (replace(EXITED, exit_code=137, out_of_memory=True), RunState.EXITED),
        # Somebody asked for these ends.
        (replace(EXITED, exit_code=143), RunState.STOPPED),
        (replace(EXITED, exit_code=137), RunState.STOPPED),
        # on-failure: not after code 0, not for ever, and otherwise yes.
        (replace(EXITED, policy="on-failure"), RunState.EXITED),
        (replace(EXITED, policy="on-failure", exit_code=1, retries=3, restarts=3), RunState.FATAL),
        (replace(EXITED, policy="on-failure", exit_code=1, retries=3, restarts=1), RunState.STOPPED),
    ],
)
def test_tells_who_ended_it_as_far_as_docker_shows(seen: Container, state: RunState) -> None:
    assert choose_state(seen) is state

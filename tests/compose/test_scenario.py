"""The containers on a real Docker, in one story: each test goes on where the one before it stopped."""

from __future__ import annotations

import os
import re
from types import ModuleType
from typing import Any

import pytest

pytestmark = [pytest.mark.compose, pytest.mark.timeout(400)]

HEALER, PROMETHEUS = "vllm-monitor-test-healer-1", "vllm-monitor-test-prometheus-1"
SIMULATED = "vllm-monitor-test-sim-a"


def recovered(stack: Any) -> int:
    """Verdicts of the journal that say so."""
    return sum("recovered" in entry["words"] for entry in stack.history() if entry["kind"] == "verdict")


def test_comes_up_from_a_copy_and_sees_the_servers(stack: Any, world: ModuleType) -> None:
    world.wait_for(lambda: stack.value("sum(vllm_server_ready)") == 2, "both servers to be ready")
    world.wait_for(lambda: stack.value("count(up == 1)") == 6, "two servers and four parts to be scraped")
    names = {sample["metric"]["server"] for sample in stack.query('up{job="vllm"}')}
    assert names == {f"{os.uname().nodename}:{stack.ports[name]}" for name in world.SERVERS}


def test_a_second_up_changes_nothing(stack: Any, world: ModuleType) -> None:
    before = [world.started_at(name) for name in (HEALER, PROMETHEUS)]
    stack.make("up")
    assert [world.started_at(name) for name in (HEALER, PROMETHEUS)] == before


def test_a_hang_is_healed_through_the_proxy_though_healer_and_prometheus_are_killed(
    stack: Any, world: ModuleType
) -> None:
    stack.keep_busy("sim-a")
    world.wait_for(lambda: stack.value("sum(vllm_server_work_present)"), "load")
    before = world.started_at(SIMULATED)
    stack.break_server("sim-a", "hang")
    world.kill_main_process(PROMETHEUS)
    world.wait_for(lambda: "incident" in stack.kinds(), "an incident")
    world.kill_main_process(HEALER)
    world.wait_for(lambda: world.started_at(SIMULATED) != before, "the container to be restarted")
    world.wait_for(lambda: stack.answers("sim-a"), "it to answer again")
    world.wait_for(lambda: recovered(stack) == 1, "the healer to see that it recovered")
    assert stack.kinds().count("intent") == 1
    proxied = world.docker("logs", "vllm-monitor-test-docker-proxy-1")
    assert re.findall(r" 204 .*sim-a/(\S+)", proxied) == ["stop?t=2", "start"]


def test_what_a_person_stopped_stays_stopped(stack: Any, world: ModuleType) -> None:
    world.docker("stop", "-t", "1", "vllm-monitor-test-sim-b")
    refused = "by a person"
    world.wait_for(lambda: any(refused in entry["words"] for entry in stack.history()), "a refusal")
    assert not stack.answers("sim-b")
    world.docker("start", "vllm-monitor-test-sim-b")
    world.wait_for(lambda: stack.answers("sim-b"), "it to answer again")


def test_dockers_daemon_is_restarted_and_all_goes_on(stack: Any, world: ModuleType) -> None:
    if not world.may_restart_engine():
        pytest.skip("this Docker engine is not the test's alone")
    world.restart_engine()
    world.wait_for(lambda: stack.value("count(up == 1)") == 6, "everything to be scraped again")
    world.wait_for(lambda: stack.answers("sim-a"), "the server to answer again")
    assert recovered(stack) == 1
    assert stack.kinds().count("intent") == 1


def test_nothing_is_lost_when_all_is_taken_down_and_put_up_again(stack: Any, world: ModuleType) -> None:
    words = [entry["words"] for entry in stack.history()]
    token = world.docker("exec", HEALER, "cat", "/etc/vllm-monitor/healer_token")
    said = stack.make("down")
    assert "data is kept in" in said
    assert not world.docker("ps", "-aq", "--filter", f"name={HEALER}")
    stack.make("up")
    assert [entry["words"] for entry in stack.history()][: len(words)] == words
    assert world.docker("exec", HEALER, "cat", "/etc/vllm-monitor/healer_token") == token
    assert stack.value("max_over_time(vllm_server_stalled[10m])") == 1  # the hang is still known
    assert stack.kinds().count("intent") == 1  # and what was done is not done again


def test_wiping_says_what_it_deletes(stack: Any, world: ModuleType) -> None:
    said = stack.make("down", WIPE="1")
    assert "deleting for good:" in said
    assert "volume vllm-monitor-test_prometheus" in said
    assert not world.docker("volume", "ls", "-q", "--filter", "label=com.docker.compose.project=vllm-monitor-test")

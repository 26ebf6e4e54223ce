from __future__ import annotations

import re

import pytest

from deploy.docker.proxy import containers_of, render_proxy
from deploy.errors import SettingsError


def paths(text: str) -> dict[str, re.Pattern[str]]:
    """Verb -> what HAProxy matches."""
    return {verb: re.compile(regex) for verb, regex in re.findall(r"acl (\w+) +path_reg (\S+)", text)}


def test_lists_the_containers_of_the_docker_actuator_alone() -> None:
    targets = [
        {"server": "a:1", "actuator": "docker", "options": {"container": "vllm-b"}},
        {"server": "a:2", "actuator": "docker", "options": {"container": "vllm-a"}},
        {"server": "a:3", "actuator": "supervisord", "options": {"program": "vllm-c"}},
        "a:4",
    ]
    assert containers_of({"targets": targets}) == ("vllm-a", "vllm-b")


@pytest.mark.parametrize("healer", [{}, {"targets": None}, {"targets": "gpu1"}])
def test_no_targets_are_no_containers(healer: dict[str, object]) -> None:
    assert containers_of(healer) == ()


@pytest.mark.parametrize("name", ["a|b", ".*", "a/../b", "a b", "a\n    http-request allow", "-a"])
def test_what_is_no_name_is_refused(name: str) -> None:
    targets = [{"actuator": "docker", "options": {"container": name}}]
    with pytest.raises(SettingsError, match="a name has letters, digits"):
        containers_of({"targets": targets})


def test_a_listed_container_may_be_looked_at_started_and_stopped() -> None:
    known = paths(render_proxy(["vllm", "v.2"]))
    assert known["json"].search("/v1.41/containers/vllm/json")
    assert known["start"].search("/v1.52/containers/v.2/start")
    assert known["stop"].search("/v1.24/containers/vllm/stop")
    assert known["stop"].search("/v1.24/containers/vllm/restart")


@pytest.mark.parametrize(
    "path",
    [
        "/v1.41/containers/other/json",
        "/v1.41/containers/json",
        "/v1.41/containers/vllm",
        "/v1.41/containers/vllm/exec",
        "/v1.41/containers/vllm/kill",
        "/v1.41/containers/vllm/update",
        "/v1.41/containers/vllm/../other/start",
        "/v1.41/containers/vllm%2f..%2fother/start",
        "/v1.41/containers/v-2/start",
        "/v1.23/containers/vllm/start",  # takes a body with new rights for the container
        "/containers/vllm/start",  # the engine would choose the version
        "/x/v1.41/containers/vllm/start",
        "/v1.41/containers/create",
    ],
)
def test_any_other_path_matches_nothing(path: str) -> None:
    known = paths(render_proxy(["vllm", "v.2"]))
    assert not [verb for verb, regex in known.items() if regex.search(path)]


def test_without_containers_nothing_matches() -> None:
    assert not [verb for verb, regex in paths(render_proxy([])).items() if regex.search("/v1.41/containers//json")]


def test_the_last_word_is_no() -> None:
    rules = re.findall(r"http-request .*", render_proxy(["vllm"]).partition("default_backend")[0])
    assert rules[-1] == "http-request deny deny_status 403"


def test_http_2_is_refused_and_silence_ends_since_neither_shows_a_body() -> None:
    defaults = render_proxy(["vllm"]).partition("frontend")[0]
    assert "    option disable-h2-upgrade\n" in defaults
    assert "    timeout http-request 5s\n" in defaults

"""Where the demo lies, and what its parts are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.demo.errors import DemoError, NoDemo
from deploy.demo.files import healer_yml
from deploy.demo.programs import demo_programs
from deploy.demo.world import World, choose_world, read_world, write_world
from deploy.native.programs import render_conf

WORLD = World(Path("/srv/monitor"), Path("/srv/monitor/.run-demo"))


def test_no_port_is_one_of_make_up() -> None:
    assert WORLD.all_ports == {
        "exporter": 19855, "healer": 19856, "prometheus": 19890, "alertmanager": 19893,
        "vllm-1": 19801, "vllm-2": 19802, "vllm-3": 19803,
    }  # fmt: skip


def test_the_healer_acts_through_the_demos_own_supervisord() -> None:
    config = yaml.safe_load(healer_yml(WORLD))
    assert config["mode"] == "act"
    assert [target["options"] for target in config["targets"]] == [
        {"url": "unix:///srv/monitor/.run-demo/supervisor.sock", "program": f"vllm-{number}"} for number in (1, 2, 3)
    ]


def test_supervisord_leaves_a_server_that_ended_with_code_0() -> None:
    conf = render_conf(WORLD.layout, demo_programs(WORLD))
    assert conf.count("autorestart = unexpected") == 3
    assert conf.index("[program:vllm-3]") < conf.index("[program:load]")


def test_later_commands_find_the_ports_of_the_demo_that_was_started(tmp_path: Path) -> None:
    world = choose_world(WORLD.root, tmp_path, "20800")
    write_world(world)
    assert read_world(WORLD.root, tmp_path).ports.prometheus == 20890


def test_without_a_demo_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NoDemo, match="`make demo` starts one"):
        read_world(WORLD.root, tmp_path)


@pytest.mark.parametrize("port", ["80", "65500", "x"])
def test_a_port_without_room_for_the_demo_is_refused(port: str) -> None:
    with pytest.raises(DemoError, match="give a port from 1024 to 65435"):
        choose_world(WORLD.root, WORLD.run, port)


def test_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(DemoError, match="there is no server 4: choose SERVER=1 to SERVER=3"):
        WORLD.server(4)

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.compose.engine import Compose, parse_containers
from deploy.compose.report import is_unseen, next_steps, published, report
from deploy.compose.up import is_well, merge_profiles
from deploy.config.filled import Filled, parse_filled
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def on_loopback() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_reads_both_ways_of_listing_containers() -> None:
    assert parse_containers('{"Service": "a"}\n{"Service": "b"}\n') == ({"Service": "a"}, {"Service": "b"})
    assert parse_containers('[{"Service": "a"}]') == ({"Service": "a"},)
    assert parse_containers("") == ()


def test_the_users_choice_of_files_stays() -> None:
    assert Compose(Path(), {"COMPOSE_FILE": "mine.yml"}).command("ps") == ["docker", "compose", "ps"]


def test_profiles_are_added_to_the_users() -> None:
    assert merge_profiles("", ()) == ""
    assert merge_profiles("mine, docker-actuator", ("docker-actuator",)) == "mine,docker-actuator"


def test_the_last_line_counts() -> None:
    line = '{"digests": {}, "profiles": [], "targets": {}, "chosen": true, "people": "", "gateway": "10.0.0.1"}'
    assert parse_filled(f"building\nbox watches a:1\n{line}\n").gateway == "10.0.0.1"


@pytest.mark.parametrize(
    ("container", "well"),
    [
        ({"State": "running", "Health": "healthy"}, True),
        ({"State": "running", "Health": "unhealthy"}, False),
        ({"State": "running", "Health": "starting"}, False),
        ({"State": "exited", "Health": "", "ExitCode": 0}, True),  # config
        ({"State": "exited", "Health": "", "ExitCode": 1}, False),
        ({"State": "restarting", "Health": "", "ExitCode": 1}, False),
    ],
)
def test_tells_which_part_is_well(container: dict[str, object], well: bool) -> None:
    assert is_well(container) is well


def test_says_where_the_pages_are() -> None:
    containers: list[dict[str, object]] = [
        {"Service": "exporter", "Publishers": []},
        {"Service": "prometheus", "Publishers": [{"PublishedPort": 19090}]},
        {"Service": "loki", "Publishers": [{"PublishedPort": 3100}]},
        {"Service": "docker-proxy", "Publishers": None},
    ]
    assert published(containers) == {"prometheus": "http://127.0.0.1:19090"}


def test_a_server_on_loopback_alone_is_not_seen_from_containers(on_loopback: int) -> None:
    assert is_unseen(f"localhost:{on_loopback}", "127.0.0.2")
    assert not is_unseen(f"localhost:{on_loopback}", "127.0.0.1")  # as if it listened everywhere
    assert not is_unseen(f"gpu2:{on_loopback}", "127.0.0.2")


def test_a_server_that_is_down_is_not_blamed_on_its_address(on_loopback: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert not is_unseen(f"localhost:{port}", "127.0.0.2")


def test_a_warning_of_the_renderer_reaches_the_terminal() -> None:
    filled = Filled({}, (), {"gpu2:8000": "gpu2:8000"}, True, "Slack", "10.0.0.1", ("in healer.yml, but not watched",))
    assert report(parse_filled(filled.line()), []).splitlines() == [
        "vllm-monitor is up",
        "Watches  gpu2:8000",
        "People   Slack",
        "Warning: in healer.yml, but not watched",
        "Next",
        "  make status, make logs, make down; docs/compose.md",
    ]


def test_says_where_the_passwords_are_and_none_of_them() -> None:
    filled = Filled({}, (), {"gpu2:8000": "gpu2:8000"}, True, "Slack", "10.0.0.1")
    said = report(filled, [{"Service": "prometheus", "Publishers": [{"PublishedPort": 9090}]}])
    assert "Log in   to Prometheus as vllm-monitor, password: `docker compose exec prometheus cat " in said


def test_it_needs_no_package_but_pythons_own() -> None:
    """The host has Docker, and need have little else."""
    line = [sys.executable, "-S", "-c", "import deploy.compose.__main__"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def test_says_only_what_is_left_to_do() -> None:
    assert next_steps(chosen=True, unseen=[], grafana=False) == ["make status, make logs, make down; docs/compose.md"]
    first = next_steps(chosen=True, unseen=["box:8000"], grafana=False)[0]
    assert first.startswith("box:8000 listen on 127.0.0.1 alone")
    assert "make up NATIVE=1" in first

"""The demo where there is Docker and little else: one container, in which a server is broken and healed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/demo/compose.yml").read_text())["services"]["demo"]


def test_it_is_bounded_as_the_parts_are() -> None:
    assert (SERVICE["read_only"], SERVICE["cap_drop"]) == (True, ["ALL"])
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert SERVICE["mem_limit"] == "1536m"
    assert "volumes" not in SERVICE
    assert "USER 9857:9857" in (ROOT / "deploy/demo/Dockerfile").read_text()


def test_its_programs_are_those_that_are_shipped() -> None:
    shipped = (ROOT / "docker-compose.yml").read_text()
    dockerfile = (ROOT / "deploy/demo/Dockerfile").read_text()
    for name, default in SERVICE["build"]["args"].items():
        assert default in shipped
        assert f"ARG {name}={default.partition(':-')[2].rstrip('}')}\n" in dockerfile


@pytest.mark.compose
@pytest.mark.timeout(400)
def test_a_server_is_broken_and_healed_in_it(demo: Callable[..., str]) -> None:
    assert "the demo is ready after" in demo("demo")
    said = demo("demo-break", HOW="exit0", SERVER="2")
    assert "server 2" in said
    assert "restart_engine once" in said
    assert "Removed" in demo("demo-down")

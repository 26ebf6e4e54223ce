"""One server has one name in the exporter, in the healer and in Prometheus' list of targets."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

PARTS = ("vllm_exporter.config.config", "vllm_healer.config", "deploy.config")

NAMES = [
    ("localhost:8000", "gpu1:8000"),
    ("LOCALHOST:8000", "gpu1:8000"),
    ("127.0.0.1:8000", "gpu1:8000"),
    ("127.0.1.1:8001", "gpu1:8001"),
    ("[::1]:8000", "gpu1:8000"),
    ("::1:8000", "gpu1:8000"),
    ("gpu1:8000", "gpu1:8000"),
    ("gpu2.example.org:80", "gpu2.example.org:80"),
    ("10.0.0.5:8000", "10.0.0.5:8000"),
    ("[2001:db8::5]:8000", "[2001:db8::5]:8000"),
    ("localhost.example.org:8000", "localhost.example.org:8000"),
    ("mylocalhost:8000", "mylocalhost:8000"),
]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("address", "expected"), NAMES)
def test_every_part_gives_a_server_the_same_name(part: str, address: str, expected: str) -> None:
    server_name: Callable[[str, str], str] = importlib.import_module(part).server_name
    assert server_name(address, "gpu1") == expected

"""Clients without a token that hold connections: they make the healer neither deaf nor large."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.chaos.clients import BODY, FULL, HEADERS, Honest, mebibytes, seconds_of, slow_clients
from vllm_healer.cli import main

SECONDS = 10.0
PAGES = ("/-/ready", "/metrics")


@pytest.mark.parametrize(
    ("what", "number", "start", "more"),
    [
        ("130 that send headers a byte a second", 130, HEADERS, 0),
        ("500 that send nothing", 500, b"", 0),
        ("40 with a body of 10 MB each and no token", 40, BODY, FULL),
    ],
)
def test_it_answers_beside_slow_clients(
    what: str, number: int, start: bytes, more: int, healer: Any, held: Callable[[str], None]
) -> None:
    honest = Honest(healer.url, PAGES)
    with slow_clients(healer.port, number, start, more):
        time.sleep(2.0)  # until all are connected
        with honest.watching():
            time.sleep(SECONDS)
            pausing = seconds_of(lambda: main(["pause", "--config", str(healer.config)]))
    resident = mebibytes(healer.process.pid)
    held(f"{what}: slowest page {honest.slowest() * 1000:.0f} ms, pause {pausing * 1000:.0f} ms, {resident:.0f} MiB")
    assert honest.failures == []
    assert honest.slowest() < 1.0
    assert pausing < 1.0
    assert healer.metric("vllm_healer_paused") == 1
    assert resident < 128


def test_connections_that_are_kept_open_do_not_lock_a_person_out(healer: Any, held: Callable[[str], None]) -> None:
    """As Alertmanager does after many alerts at once: each notification has a connection, kept for the next."""
    kept = [requests.Session() for _ in range(200)]
    honest = Honest(healer.url, PAGES)
    with honest.watching():
        for session in kept:
            session.get(f"{healer.url}/-/healthy", timeout=10)
        pausing = seconds_of(lambda: main(["pause", "--config", str(healer.config)]))
    held(f"200 kept connections: slowest page {honest.slowest() * 1000:.0f} ms, pause {pausing * 1000:.0f} ms")
    for session in kept:
        session.close()
    assert honest.failures == []
    assert honest.slowest() < 1.0
    assert pausing < 1.0

"""Sixteen hostile servers beside an honest one: exporter and healer stay small, and look at the honest one."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from tests import ports
from tests.chaos.clients import Honest, mebibytes
from tests.chaos.evil_server import MODES, EvilServer, evil_servers, good
from tests.exporter.bench.programs import Program, exporter
from vllm_healer.cli import main

SECONDS = 60.0  # that they are looked at; an overall deadline is seen many times in it
EXPORTER_MEBIBYTES, HEALER_MEBIBYTES = 128.0, 384.0  # of the 128 and 512 that docker-compose.yml gives them
LOOKS_EVERY = 15.0  # seconds between two looks at a listed server

TARGET = """\
  - server: {server}
    url: http://127.0.0.1:{port}
    pool: {server}
    actuator: dry_run
"""


@dataclass
class Scene:
    """What was seen in SECONDS; `honest` is the server, the others watched the programs."""

    honest: EvilServer
    exporter: Program
    healer: Any
    exporter_page: Honest
    healer_page: Honest
    asked_before: int


@pytest.fixture(scope="module")
def scene(stage: ModuleType) -> Iterator[Scene]:
    honest = EvilServer(good)
    with evil_servers() as evil, tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        healer = stage.Healer(folder, ports.free_port())
        named = {"honest": honest, **{re.sub("[ ,]+", "-", mode): server for mode, server in evil.items()}}
        healer.configure(
            targets="targets:\n"
            + "".join(TARGET.format(server=f"{key}:1", port=each.port) for key, each in named.items())
        )
        with exporter(folder, honest.port, {}, others=[each.port for each in evil.values()]) as running:
            healer.start()
            url = f"http://127.0.0.1:{running.port}"
            pages = (Honest(url, ("/metrics",)), Honest(healer.url, ("/-/ready", "/metrics")))
            before = honest.seen.total()
            with pages[0].watching(), pages[1].watching():
                time.sleep(SECONDS)
            yield Scene(honest, running, healer, *pages, before)
        healer.kill()
    honest.close()


def test_the_exporter_stays_small_and_quick(scene: Scene, held: Callable[[str], None]) -> None:
    slowest, resident = scene.exporter_page.slowest(), scene.exporter.resident()
    held(f"exporter beside {len(MODES)} hostile servers: {resident:.0f} MiB, slowest scrape {slowest * 1000:.0f} ms")
    assert scene.exporter_page.failures == []
    assert slowest < 1.0
    assert resident < EXPORTER_MEBIBYTES


def test_the_exporter_goes_on_watching_the_honest_one(scene: Scene) -> None:
    page = requests.get(f"http://127.0.0.1:{scene.exporter.port}/metrics", timeout=10).text
    assert re.search(rf'^vllm_server_ready{{server="[^"]+:{scene.honest.port}"}} 1$', page, re.MULTILINE)
    assert scene.honest.seen["/metrics"] >= SECONDS * 0.8  # once a second


def test_no_hostile_server_makes_series_without_bound(scene: Scene) -> None:
    page = requests.get(f"http://127.0.0.1:{scene.exporter.port}/metrics", timeout=10).text
    assert len(page) < 2_000_000
    assert max(map(len, page.splitlines())) < 2_000
    assert "\x1b" not in page


def test_the_healer_stays_small_and_quick(scene: Scene, held: Callable[[str], None]) -> None:
    slowest, resident = scene.healer_page.slowest(), mebibytes(scene.healer.process.pid)
    held(f"healer beside {len(MODES)} hostile servers: {resident:.0f} MiB, slowest answer {slowest * 1000:.0f} ms")
    assert scene.healer_page.failures == []
    assert slowest < 1.0
    assert resident < HEALER_MEBIBYTES


def test_the_healer_goes_on_looking_at_the_honest_one(scene: Scene) -> None:
    with scene.healer.journal() as journal:
        assert journal.memory("honest:1").seen_ready
    before = scene.honest.seen["/health"]
    time.sleep(2 * LOOKS_EVERY)
    assert scene.honest.seen["/health"] > before


def test_the_healer_takes_no_orders_from_them(scene: Scene) -> None:
    with scene.healer.journal() as journal:
        assert sum(journal.incident_counts().values()) == 0
    said = scene.healer.log()
    assert "Traceback" not in said
    assert "meta-data" not in said


def test_a_person_can_pause_it(scene: Scene) -> None:
    began = time.monotonic()
    assert main(["pause", "--config", str(scene.healer.config)]) == 0
    assert time.monotonic() - began < 1.0

"""The real thing, from a copy of the checkout as a clone would have it: started, broken, healed, gone."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.world import World
from deploy.native.leftovers import find_leftovers
from deploy.native.ports import is_free

ROOT = Path(__file__).resolve().parents[2]
# Seconds of real time from the start of the demo: a promise of the product. 30 of them are the stall limit itself.
HEALED_WITHIN = 120.0

pytestmark = [pytest.mark.alerts, pytest.mark.real, pytest.mark.timeout(240)]


@pytest.fixture
def checkout() -> Iterator[Path]:
    """What git would clone, with what is not committed yet; in a short path, for the sake of the unix socket."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    copy = Path(tempfile.mkdtemp(prefix="demo-"))
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    yield copy
    demo(copy, "down")
    shutil.rmtree(copy)


def demo(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As the Makefile calls it, with the environment that is there."""
    command = [sys.executable, "-m", "deploy.demo", *words]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=200, check=False)


def first_port() -> int:
    """The first of a hundred, of which the demo's are free; other demos may run beside this one."""
    for first in random.sample(range(20000, 32000, 100), 20):
        if all(map(is_free, World(ROOT, ROOT, first).all_ports.values())):
            return first
    raise AssertionError("no free ports")


def test_a_hang_is_healed_within_two_minutes_of_the_start_and_nothing_is_left(checkout: Path) -> None:
    began = time.monotonic()
    world = World(checkout, checkout / ".run-demo", first_port())
    up = demo(checkout, "up", "--port", str(world.first_port))
    assert up.returncode == 0, up.stderr
    assert f"healer        {world.links['healer']}" in up.stdout

    broken = demo(checkout, "break", "hang", "--server", "2")
    took = time.monotonic() - began
    assert broken.returncode == 0, broken.stdout + broken.stderr
    told = [text[10:].split()[0] for text in broken.stdout.splitlines() if " s  " in text[:12]]
    assert [who for who in told if who != "exporter"] == [
        "fault", "alert", "diagnosis", "intent", "note", "step", "step", "result", "verdict", "healed",
    ]  # fmt: skip
    assert "VllmEngineStalled fires" in broken.stdout
    assert took < HEALED_WITHIN

    down = demo(checkout, "down")
    assert down.returncode == 0, down.stderr
    assert find_leftovers(world.layout.server_url) == []
    assert [port for port in world.all_ports.values() if not is_free(port)] == []

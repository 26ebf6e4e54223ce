"""Alerts by the ten thousand, large ones, and kills in between: nothing is lost, and it goes on answering."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from tests.chaos.clients import Honest, cpu_share, mebibytes, seconds_of, strangers
from vllm_healer.cli import main

PAGES = ("/-/ready", "/metrics")
STORM, AT_ONCE = 50_000, 10
KILLS, SENDERS = 10, 4


def deliver(healer: Any, body: bytes) -> int:
    """The status of the answer, after as many tries as Alertmanager makes for what is no refusal."""
    while True:
        try:
            status = int(healer.post("/alerts", body).status_code)
        except requests.RequestException:
            status = 503
        if status < 500:
            return status
        time.sleep(0.2)


def test_a_storm_of_strangers_delays_no_person_and_no_healing(healer: Any, held: Callable[[str], None]) -> None:
    honest = Honest(healer.url, PAGES)
    began = time.monotonic()
    with honest.watching(), ThreadPoolExecutor(SENDERS) as senders:
        bodies = (strangers(first, AT_ONCE, 100) for first in range(0, STORM, AT_ONCE))
        sent = [senders.submit(deliver, healer, body) for body in bodies]
        time.sleep(5.0)
        pausing = seconds_of(lambda: main(["pause", "--config", str(healer.config)]))
        assert {each.result() for each in sent} == {200}
    taken = time.monotonic() - began
    rest = cpu_share(healer.process.pid, 10.0)
    held(
        f"{STORM} alerts of strangers in {taken:.0f} s: slowest page {honest.slowest() * 1000:.0f} ms, pause "
        f"{pausing * 1000:.0f} ms, {mebibytes(healer.process.pid):.0f} MiB, afterwards {rest:.1%} of a core"
    )
    assert honest.failures == []
    assert honest.slowest() < 1.0
    assert pausing < 1.0
    assert rest < 0.05
    healer.stop(signal.SIGKILL)
    assert seconds_of(healer.start) < 5.0


def test_large_alerts_poison_no_journal(healer: Any, held: Callable[[str], None]) -> None:
    for first in range(60):
        assert deliver(healer, strangers(first, 1, 1_000_000)) in (200, 413)
    size = sum(file.stat().st_size for file in Path(healer.folder).glob("journal.sqlite*"))
    healer.stop(signal.SIGKILL)
    healer.start()
    resident = mebibytes(healer.process.pid)
    held(f"60 alerts of 1 MB: {resident:.0f} MiB, a journal of {size / 1e6:.1f} MB, starts again")
    assert resident < 128
    assert size < 20_000_000


LISTED = """\
targets:
  - {server: "listed:1", url: "http://127.0.0.1:9", actuator: dry_run}
"""


def test_kills_lose_nothing_that_was_acknowledged(healer: Any, held: Callable[[str], None]) -> None:
    healer.stop(signal.SIGKILL)
    healer.configure(targets=LISTED)
    healer.start()
    dice, ended = random.Random(1), threading.Event()
    acknowledged: list[tuple[str, bool]] = []

    def send(sender: int) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            name = f"{sender}-{number}"
            for status in ("firing", "resolved"):  # each ends before the next: of one server only a few fire at once
                alert = {**healer_alert("listed:1"), "fingerprint": name, "status": status}
                if deliver(healer, json.dumps({"version": "4", "alerts": [alert]}).encode()) == 200:
                    acknowledged.append((name, status == "firing"))
                time.sleep(0.02)

    with ThreadPoolExecutor(SENDERS) as senders:
        sending = [senders.submit(send, sender) for sender in range(SENDERS)]
        try:
            for _ in range(KILLS):
                time.sleep(dice.uniform(0.5, 2.0))
                healer.stop(signal.SIGKILL)
                healer.start()
        finally:
            ended.set()
        assert [each.exception() for each in sending] == [None] * SENDERS
    with closing(sqlite3.connect(healer.folder / "journal.sqlite")) as journal:
        known = [(name, bool(firing)) for name, firing in journal.execute("SELECT fingerprint, firing FROM alerts")]
    lost = set(acknowledged) - set(known)
    held(f"{KILLS} kills among {len(acknowledged)} acknowledged alerts: {len(lost)} lost")
    assert lost == set()
    assert len(known) == len(set(known))


def healer_alert(server: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": "VllmDown", "server": server, "severity": "critical"},
        "annotations": {"summary": "down"},
        "startsAt": "2026-03-01T12:00:05.000Z",
    }

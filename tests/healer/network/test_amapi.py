"""Alertmanager: what is active now, from a fake one and from real ones."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from tests.patience import PATIENCE, wait_for
from vllm_healer.amapi import Alertmanager
from vllm_healer.errors import Blind
from vllm_healer.model import Alert

ALERTS = "/api/v2/alerts"


def entry(name: str = "VllmDown", **changes: Any) -> dict[str, Any]:
    return {
        "annotations": {"summary": "down"},
        "endsAt": "2026-01-01T00:05:00.000Z",
        "fingerprint": "0123456789abcdef",
        "receivers": [{"name": "healer"}],
        "startsAt": "2026-01-01T00:00:00.000Z",
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "generatorURL": "",
        "labels": {"alertname": name, "server": "gpu1:8000"},
        **changes,
    }


def test_reads_active_alerts(server: Any) -> None:
    server.say_json(ALERTS, [entry()])
    labels = {"alertname": "VllmDown", "server": "gpu1:8000"}
    expected = Alert("0123456789abcdef", "VllmDown", True, "2026-01-01T00:00:00.000Z", labels, {"summary": "down"})
    assert Alertmanager(server.url + "/").active() == (expected,)
    assert server.paths() == [f"{ALERTS}?active=true&silenced=false&inhibited=false&unprocessed=false"]


def test_no_alert_is_an_answer(server: Any) -> None:
    server.say_json(ALERTS, [])
    assert Alertmanager(server.url).active() == ()


@pytest.mark.parametrize(
    "status",
    [
        {"state": "suppressed", "silencedBy": ["s"], "inhibitedBy": []},
        {"state": "active", "silencedBy": ["s"], "inhibitedBy": []},
        {"state": "active", "silencedBy": [], "inhibitedBy": ["i"]},
        {"state": "unprocessed", "silencedBy": [], "inhibitedBy": []},
    ],
)
def test_what_is_silenced_or_inhibited_is_left_out_even_if_it_was_sent(server: Any, status: dict[str, Any]) -> None:
    server.say_json(ALERTS, [entry(status=status)])
    assert Alertmanager(server.url).active() == ()


@pytest.mark.parametrize("key", ["fingerprint", "startsAt", "labels", "annotations", "status"])
def test_an_alert_with_a_part_missing_is_blindness_and_not_one_alert_less(server: Any, key: str) -> None:
    broken = entry()
    del broken[key]
    server.say_json(ALERTS, [entry(), broken])
    with pytest.raises(Blind, match=f"an alert without {key}"):
        Alertmanager(server.url).active()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"null", b"[3]", b"[" * 900_000, b"[" * 980 + b"]" * 980])
def test_garbage_is_blindness(server: Any, http: ModuleType, body: bytes) -> None:
    server.say(ALERTS, http.Reply(200, body))
    with pytest.raises(Blind, match=r"Alertmanager at .* answered"):
        Alertmanager(server.url).active()


def test_an_error_a_silence_and_an_answer_cut_short_are_blindness(server: Any, http: ModuleType) -> None:
    server.say(ALERTS, http.Reply(500, b"boom"), http.Reply(hang=True), http.Reply(200, b"[", missing=9))
    for words in ("HTTP 500: 'boom'", "within 0.4 s", "did not answer"):
        with pytest.raises(Blind, match=words):
            Alertmanager(server.url, timeout=0.4).active()


def test_refused_is_blindness(nobody: str) -> None:
    with pytest.raises(Blind, match="Connection refused"):
        Alertmanager(nobody).active()


CONFIG = """\
route: {receiver: nobody, group_wait: 0s, group_interval: 1s}
receivers: [{name: nobody}]
inhibit_rules:
  - {source_matchers: [alertname="VllmDown"], target_matchers: [alertname="HighLatency"], equal: [server]}
"""
BINARIES = {
    "0.25": shutil.which("prometheus-alertmanager"),
    "0.34": shutil.which("alertmanager", path=os.path.expanduser("~/.cache/go-tools/bin")),
}


@pytest.fixture(params=sorted(BINARIES))
def real(request: pytest.FixtureRequest, nobody: str, tmp_path: Path) -> Iterator[str]:
    binary = BINARIES[request.param]
    if binary is None:
        pytest.skip(f"no Alertmanager {request.param} here")
    (tmp_path / "am.yml").write_text(CONFIG)
    address = nobody.removeprefix("http://")
    arguments = [f"--storage.path={tmp_path}", f"--web.listen-address={address}", "--cluster.listen-address="]
    process = subprocess.Popen(
        [binary, f"--config.file={tmp_path}/am.yml", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: listens(address))
        yield nobody
    finally:
        process.kill()
        process.wait()


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.mark.real
def test_a_real_alertmanager_tells_the_active_alert_and_not_the_inhibited_one(real: str) -> None:
    labels = [{"alertname": name, "server": "gpu1:8000"} for name in ("VllmDown", "HighLatency")]
    alerts = [{"labels": label, "annotations": {"summary": "s"}} for label in labels]
    for alert in alerts:
        requests.post(f"{real}{ALERTS}", json=[alert], timeout=PATIENCE).raise_for_status()
    wait_for(lambda: Alertmanager(real).active())
    active = Alertmanager(real).active()
    assert [(alert.name, alert.server, alert.firing) for alert in active] == [("VllmDown", "gpu1:8000", True)]
    assert active[0].fingerprint
    assert active[0].starts_at.startswith("20")

"""Alertmanager: what is active now, from a fake one and from real ones."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from tests.patience import PATIENCE, wait_for
from vllm_healer.amapi import Alertmanager
from vllm_healer.errors import Blind
from vllm_healer.model import Alert, Standing

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
    assert server.paths() == [f"{ALERTS}?active=true&silenced=true&inhibited=true&unprocessed=false"]


def filters(server: Any) -> list[str]:
    return [parse_qs(path.partition("?")[2])["filter"][0] for path in server.paths()]


def test_asks_for_the_watchdog_and_for_the_servers_that_it_is_about(server: Any) -> None:
    server.say_json(ALERTS, [])
    Alertmanager(server.url).active(frozenset({"gpu1:8000", "10.0.0.1:8000"}))
    assert filters(server) == ['alertname="Watchdog"', 'server=~"10\\\\.0\\\\.0\\\\.1:8000|gpu1:8000"']


def test_many_servers_are_asked_for_in_several_requests(server: Any) -> None:
    servers = frozenset(f"gpu{number}.example.org:8000" for number in range(300))
    server.say_json(ALERTS, [])
    Alertmanager(server.url).active(servers)
    names = [name for one in filters(server)[1:] for name in one[len('server=~"') : -1].split("|")]
    assert [name.replace("\\", "") for name in names] == sorted(servers)
    assert 2 < len(server.paths()) < 6
    assert max(map(len, server.paths())) < 8000


def test_an_alertmanager_that_ignores_filters_shows_nothing_twice(server: Any) -> None:
    watchdog = entry(labels={"alertname": "Watchdog"}, fingerprint="1")
    stranger = entry(labels={"alertname": "VllmDown", "server": "other:8000"}, fingerprint="2")
    server.say_json(ALERTS, [entry(), watchdog, stranger])
    found = Alertmanager(server.url).active(frozenset({"gpu1:8000"}))
    assert [(alert.name, alert.server) for alert in found] == [("VllmDown", "gpu1:8000"), ("Watchdog", "")]


def test_about_nobody_only_the_watchdog_is_asked_for(server: Any) -> None:
    server.say_json(ALERTS, [])
    assert Alertmanager(server.url).active(frozenset()) == ()
    assert filters(server) == ['alertname="Watchdog"']


def test_no_alert_is_an_answer(server: Any) -> None:
    server.say_json(ALERTS, [])
    assert Alertmanager(server.url).active() == ()


SILENCED = {"state": "suppressed", "silencedBy": ["s"], "inhibitedBy": []}


@pytest.mark.parametrize(
    "status",
    [
        SILENCED,
        {"state": "active", "silencedBy": ["s"], "inhibitedBy": []},
        {"state": "active", "silencedBy": [], "inhibitedBy": ["i"]},
        {"state": "suppressed", "silencedBy": [], "inhibitedBy": []},
    ],
)
def test_says_what_is_silenced_or_inhibited(server: Any, status: dict[str, Any]) -> None:
    server.say_json(ALERTS, [entry(status=status)])
    assert [alert.standing for alert in Alertmanager(server.url).active()] == [Standing.SUPPRESSED]


def test_what_is_not_worked_on_yet_is_left_out(server: Any) -> None:
    server.say_json(ALERTS, [entry(status={"state": "unprocessed", "silencedBy": [], "inhibitedBy": []})])
    assert Alertmanager(server.url).active() == ()


def told(muted: Sequence[str] = (), state: str = "active") -> dict[str, Any]:
    """A status as Alertmanager 0.28 and later write it."""
    return {"state": state, "silencedBy": [], "inhibitedBy": [], "mutedBy": list(muted)}


def group(receiver: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"labels": {}, "receiver": {"name": receiver}, "alerts": list(entries)}


MUTED = entry(status=told(["maintenance"], "suppressed"))
GOES = entry(status=told())


@pytest.mark.parametrize(
    ("groups", "standing"),
    [
        ([group("healer", GOES)], Standing.SENT),
        ([group("healer", GOES), group("human", MUTED)], Standing.SENT),
        ([group("healer", MUTED), group("healer", GOES)], Standing.SENT),  # one of two routes is muted
        ([group("healer", MUTED)], Standing.MUTED),
        ([group("healer", MUTED), group("human", GOES)], Standing.MUTED),
        ([group("human", GOES)], Standing.UNKNOWN),
        ([group("healers", GOES)], Standing.UNKNOWN),
        ([], Standing.UNKNOWN),
    ],
)
def test_what_is_sent_goes_by_a_route_to_the_healer_that_no_mute_time_holds(
    server: Any, groups: list[dict[str, Any]], standing: Standing
) -> None:
    server.say_json(ALERTS, [GOES])
    server.say_json(f"{ALERTS}/groups", groups)
    assert [alert.standing for alert in Alertmanager(server.url).active()] == [standing]


def test_the_receiver_may_have_another_name(server: Any) -> None:
    server.say_json(ALERTS, [GOES])
    server.say_json(f"{ALERTS}/groups", [group("team (a)", GOES), group("healer", MUTED)])
    assert Alertmanager(server.url, receiver="team (a)").active()[0].standing is Standing.SENT
    assert parse_qs(server.paths()[1].partition("?")[2])["receiver"] == ["team\\ \\(a\\)"]


def test_a_receiver_that_gets_nothing_is_named_once_with_those_that_do(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.say_json(ALERTS, [entry(status=told(), receivers=[{"name": "vllm-healer"}, {"name": "human"}])])
    server.say_json(f"{ALERTS}/groups", [])
    asking = Alertmanager(server.url)
    asking.active()
    asking.active()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "sends to human, vllm-healer and not to healer: if one of them is the healer's, name it in" in said


def test_an_alertmanager_before_0_28_does_not_say_what_is_muted_and_is_not_asked(server: Any) -> None:
    server.say_json(ALERTS, [entry()])
    assert [alert.standing for alert in Alertmanager(server.url).active()] == [Standing.UNKNOWN]
    assert len(server.paths()) == 1


@pytest.mark.parametrize(
    "groups", [{}, [3], [{}], [entry()], [{"receiver": {"name": "healer"}}], [group("healer", {})]]
)
def test_groups_that_cannot_be_read_are_blindness(server: Any, groups: object) -> None:
    server.say_json(ALERTS, [GOES])
    server.say_json(f"{ALERTS}/groups", groups)
    with pytest.raises(Blind, match=r"Alertmanager at .* answered"):
        Alertmanager(server.url).active()


def test_null_is_an_empty_map_or_list_as_go_writes_it(server: Any) -> None:
    server.say_json(ALERTS, [{**GOES, "annotations": None}])
    server.say_json(f"{ALERTS}/groups", [{"receiver": {"name": "healer"}, "labels": {}, "alerts": None}])
    (alert,) = Alertmanager(server.url).active()
    assert alert.annotations == {}


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


def test_a_label_that_nests_deeply_is_shown_in_short(server: Any, http: ModuleType) -> None:
    body = json.dumps([entry()]).replace('"down"', "[" * 500 + "]" * 500)
    server.say(ALERTS, http.Reply(200, body.encode()))
    (alert,) = Alertmanager(server.url).active()
    assert alert.annotations["summary"] == "[[[[[...]]]]]"


def test_refused_is_blindness(nobody: str) -> None:
    with pytest.raises(Blind, match="Connection refused"):
        Alertmanager(nobody).active()


CONFIG = """\
route:
  receiver: nobody
  group_wait: 0s
  group_interval: 1s
  routes:
    - {matchers: [alertname="VllmEngineStalled"], receiver: healer, mute_time_intervals: [always]}
    - {matchers: [alertname=~"VllmDown|HighLatency"], receiver: healer}
receivers: [{name: nobody}, {name: healer}]
time_intervals: [{name: always, time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]}]
inhibit_rules:
  - {source_matchers: [alertname="VllmDown"], target_matchers: [alertname="HighLatency"], equal: [server]}
"""
# By version, what it does with each alert. It knows the mute time from 0.28 on.
STANDINGS = {
    "0.25": {
        "VllmDown": Standing.UNKNOWN,
        "VllmEngineStalled": Standing.UNKNOWN,
        "HighLatency": Standing.SUPPRESSED,
        "VllmQueueOverload": Standing.UNKNOWN,
        "Watchdog": Standing.UNKNOWN,
    },
    "0.34": {
        "VllmDown": Standing.SENT,
        "VllmEngineStalled": Standing.MUTED,
        "HighLatency": Standing.SUPPRESSED,
        "VllmQueueOverload": Standing.UNKNOWN,  # its route leads to somebody else
        "Watchdog": Standing.UNKNOWN,
    },
}
BINARIES = {
    "0.25": shutil.which("prometheus-alertmanager"),
    "0.34": shutil.which("alertmanager", path=os.path.expanduser("~/.cache/go-tools/bin")),
}


@pytest.fixture(params=sorted(BINARIES))
def real(request: pytest.FixtureRequest, nobody: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The version and URL of a running one."""
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
        yield request.param, nobody
    finally:
        process.kill()
        process.wait()


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.mark.real
def test_a_real_alertmanager_tells_what_it_sends_to_the_healer(real: tuple[str, str]) -> None:
    version, url = real
    for name in STANDINGS[version]:
        fire(url, name, "" if name == "Watchdog" else "10.0.0.1:8000")
    fire(url, "VllmDown", "10a0b0c1:8000")  # another server, unless a dot means any letter

    def standings() -> dict[str, Standing]:
        found = Alertmanager(url).active(frozenset({"10.0.0.1:8000"}))
        return {alert.name: alert.standing for alert in found if alert.server in ("", "10.0.0.1:8000")}

    wait_for(lambda: standings() == STANDINGS[version], "what it sends", lambda: str(standings()))
    active = Alertmanager(url).active(frozenset({"10.0.0.1:8000"}))
    assert sorted(alert.server for alert in active) == ["", *["10.0.0.1:8000"] * 4]
    assert all(alert.firing and alert.fingerprint and alert.starts_at.startswith("20") for alert in active)
    assert len(Alertmanager(url).active()) == 6


def fire(url: str, name: str, server: str) -> None:
    labels = {"alertname": name, **({"server": server} if server else {})}
    alert = {"labels": labels, "annotations": {"summary": "s"}}
    requests.post(f"{url}{ALERTS}", json=[alert], timeout=PATIENCE).raise_for_status()

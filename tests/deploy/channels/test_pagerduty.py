"""What PagerDuty is told; a real Alertmanager of each generation tells it to a server of the test."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deploy.config.alertmanager import render_alertmanager
from deploy.config.people import People
from deploy.config.settings import Ports
from deploy.config.site import native_site
from deploy.errors import SettingsError
from tests.alerts.live import run_program, wait_until
from tests.alerts.toolchain import ALERTMANAGER, Tools, find_generations
from tests.patience import PATIENCE
from tests.ports import free_port

KEY = "R0" + "A1b2C3" * 5
ENV = "PAGERDUTY_ROUTING_KEY_FILE=key\n"


def test_the_key_stays_in_its_file(people_of: Callable[..., People], tmp_path: Path) -> None:
    people = people_of(ENV, key=f"{KEY}\n")
    [block] = people.blocks()["pagerduty_configs"]
    assert block["routing_key_file"] == str(tmp_path / "key")
    assert block["url"] == "https://events.pagerduty.com/v2/enqueue"
    assert KEY not in str(people)
    assert people.words() == "PagerDuty"


def test_accounts_in_the_eu_have_another_address(people_of: Callable[..., People]) -> None:
    people = people_of(ENV + "PAGERDUTY_URL=https://events.eu.pagerduty.com/v2/enqueue\n", key=KEY)
    assert people.blocks()["pagerduty_configs"][0]["url"] == "https://events.eu.pagerduty.com/v2/enqueue"


@pytest.mark.parametrize(("key"), ["u+an-API-token_20ch", KEY[:-1], f"{KEY} {KEY}", f"routing_key: {KEY}"])
def test_what_is_no_integration_key_is_refused_and_not_repeated(people_of: Callable[..., People], key: str) -> None:
    message = r"\.env line 1: PAGERDUTY_ROUTING_KEY_FILE: .*/key does not hold an integration key, which has 32 letters"
    with pytest.raises(SettingsError, match=message) as raised:
        people_of(ENV, key=key)
    assert key not in str(raised.value)


def test_an_address_without_a_key_names_what_is_missing(people_of: Callable[..., People]) -> None:
    message = r"line 1: PAGERDUTY_URL is set and PAGERDUTY_ROUTING_KEY_FILE is not: set both, or neither"
    with pytest.raises(SettingsError, match=message):
        people_of("PAGERDUTY_URL=https://events.eu.pagerduty.com/v2/enqueue\n")


GENERATIONS = find_generations()
CRITICAL = {"alertname": "VllmDown", "server": "gpu1:8000", "severity": "critical"}
OWN = {"alertname": "MyOwn", "severity": "page-me"}
RUNBOOK = "https://example.org/runbooks/VllmDown.md"


@pytest.mark.alerts
@pytest.mark.real
@pytest.mark.skipif(not GENERATIONS, reason="no Alertmanager on this machine: make install")
@pytest.mark.parametrize("tools", GENERATIONS, ids=lambda tools: tools.name)
def test_an_incident_is_opened_with_a_severity_that_is_known_and_resolved(
    people_of: Callable[..., People], tools: Tools, tmp_path: Path
) -> None:
    with receive() as (address, events):
        people = people_of(f"{ENV}PAGERDUTY_URL={address}/v2/enqueue\n", key=f"{KEY}\n")
        with run_alertmanager(tools, tmp_path, people) as api:
            send(api, CRITICAL, OWN)
            wait_until(lambda: len(events) >= 2, PATIENCE, f"two incidents; got {events}")
            opened = {event["payload"]["class"]: event for event in events}
            send(api, CRITICAL, endsAt="2026-01-01T00:00:00Z")
            wait_until(lambda: events[-1]["event_action"] == "resolve", PATIENCE, f"resolved; got {events}")

    down = opened["VllmDown"]
    assert (down["routing_key"], down["event_action"], down["client"]) == (KEY, "trigger", "vllm-monitor")
    assert down["payload"]["summary"] == "[1 firing, critical] VllmDown on gpu1:8000"
    assert (down["payload"]["severity"], down["payload"]["source"]) == ("critical", "gpu1:8000")
    assert [link["text"] for link in down["links"]] == ["Runbook", "Silence"]  # and no dashboard, which is not known
    assert down["links"][0]["href"] == RUNBOOK
    assert "gpu1:8000 refuses connections." in down["payload"]["custom_details"]["firing"]
    assert opened["MyOwn"]["payload"]["severity"] == "error"
    assert events[-1]["dedup_key"] == down["dedup_key"]


@contextmanager
def receive() -> Iterator[tuple[str, list[Any]]]:
    """Stands in for PagerDuty: answers 202, as it does, and keeps each event."""
    events: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", events
        server.shutdown()


@contextmanager
def run_alertmanager(tools: Tools, home: Path, people: People) -> Iterator[str]:
    """Runs it with the rendered configuration, in which only the waits are shorter. Yields its API."""
    port = free_port()
    for name, text in render_alertmanager(ALERTMANAGER, native_site(Ports(healer=free_port()), home), people).items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text.replace("group_wait: 10s", "group_wait: 1s").replace("1m", "1s"))
    command = [tools.alertmanager, f"--config.file={home / 'alertmanager.yml'}", f"--storage.path={home / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with run_program(command, home / "alertmanager.log", port):
        yield f"http://127.0.0.1:{port}/api/v2/alerts"


def send(api: str, *labels: dict[str, str], **times: str) -> None:
    annotations = {"description": "gpu1:8000 refuses connections.", "runbook_url": RUNBOOK}
    body = json.dumps([{"labels": one, "annotations": annotations, **times} for one in labels]).encode()
    request = urllib.request.Request(api, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 200

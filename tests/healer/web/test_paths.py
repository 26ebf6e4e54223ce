"""Health, metrics, pause and resume, incidents and the page."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient

from vllm_healer.journal import Entry
from vllm_healer.ledger import Approval, Consent
from vllm_healer.model import Instant
from vllm_healer.web import WebDeps, create_app


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/pause"), ("POST", "/resume"), ("POST", "/approve"), ("GET", "/incidents")]
)
def test_control_needs_the_token(client: FlaskClient, fake_journal: Any, method: str, path: str) -> None:
    fake_journal.pause_words = "alice"
    assert client.open(path, method=method).status_code == 401
    assert fake_journal.pause_words == "alice"


@pytest.mark.parametrize(("path", "given"), [("/approve", Consent.APPROVED), ("/refuse", Consent.REFUSED)])
def test_answers_what_waits_for_approval(
    client: FlaskClient, authorized: dict[str, str], fake_journal: Any, path: str, given: Consent
) -> None:
    fake_journal.approvals = (Approval(3, 7, "gpu1:8000", "restart_engine", Instant(0.0, 0.0, "boot")),)
    assert client.post(path, json={"approval": 3}).status_code == 401
    answer = client.post(path, json={"approval": 3, "reason": "anna: seen"}, headers=authorized)
    assert (answer.status_code, answer.json) == (200, {"approval": 3, "answer": given.value})
    assert fake_journal.answers == [(3, given, "anna: seen")]


@pytest.mark.parametrize("body", [{}, {"approval": "3"}, {"approval": True}, [3], {"approval": 3.0}])
def test_an_answer_without_the_number_of_a_request_is_refused(
    client: FlaskClient, authorized: dict[str, str], fake_journal: Any, body: object
) -> None:
    assert client.post("/approve", json=body, headers=authorized).status_code == 400
    assert fake_journal.answers == []


def test_an_answer_to_what_nobody_asked_is_a_conflict(client: FlaskClient, authorized: dict[str, str]) -> None:
    answer = client.post("/approve", json={"approval": 9}, headers=authorized)
    assert (answer.status_code, (answer.json or {})["error"]) == (409, "there is no approval 9")


def test_begins_and_ends_maintenance(client: FlaskClient, authorized: dict[str, str], fake_journal: Any) -> None:
    body = {"about": "server gpu1:8000", "seconds": 7200, "reason": "anna: new driver"}
    assert client.post("/maintenance", json=body).status_code == 401
    answer = client.post("/maintenance", json=body, headers=authorized)
    assert (answer.status_code, answer.json) == (200, {"about": "server gpu1:8000", "seconds": 7200})
    assert fake_journal.maintained == [("server gpu1:8000", 7200.0, "anna: new driver")]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"about": "gpu1:8000", "seconds": 60},
        {"about": "pool ", "seconds": 60},
        {"about": "all", "seconds": -1},
        {"about": "all", "seconds": 1e9},
        {"about": "all", "seconds": True},
        {"about": "all", "seconds": "60"},
        {"about": "all", "seconds": float("nan")},
    ],
)
def test_an_order_about_maintenance_that_is_none_is_refused(
    client: FlaskClient, authorized: dict[str, str], fake_journal: Any, body: object
) -> None:
    assert client.post("/maintenance", json=body, headers=authorized).status_code == 400
    assert fake_journal.maintained == []


def test_shows_what_waits_for_approval(client: FlaskClient, authorized: dict[str, str], fake_journal: Any) -> None:
    assert "Waiting for approval" not in client.get("/", headers=authorized).text
    fake_journal.approvals = (Approval(3, 7, "gpu1:8000", "restart_engine", Instant(0.0, 0.0, "boot")),)
    assert "<code>vllm-healer approve 3</code>" in client.get("/", headers=authorized).text
    shown = client.get("/incidents", headers=authorized).json or {}
    assert shown["approvals"][0]["remediation"] == "restart_engine"
    assert "approve 3" not in client.get("/").text


def test_pauses_and_resumes_with_a_reason(
    client: FlaskClient, fake_journal: Any, worker: Any, authorized: dict[str, str]
) -> None:
    answer = client.post("/pause", json={"reason": "alice: deploying"}, headers=authorized)
    assert (answer.status_code, answer.json) == (200, {"paused": "alice: deploying"})
    answer = client.post("/resume", json={"reason": "alice: deployed"}, headers=authorized)
    assert (answer.status_code, answer.json) == (200, {"paused": ""})
    assert (fake_journal.resumed, worker.woken) == ("alice: deployed", 1)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"reason": 3}', b'{"reason": ""}'])
def test_pauses_without_a_reason_too(client: FlaskClient, authorized: dict[str, str], body: bytes) -> None:
    answer = client.post("/pause", data=body, content_type="application/json", headers=authorized)
    assert answer.json == {"paused": "no reason given, over HTTP from 127.0.0.1"}


def test_shows_open_incidents_as_json(
    client: FlaskClient, fake_journal: Any, authorized: dict[str, str], cases: ModuleType
) -> None:
    fake_journal.incidents = (cases.incident("VllmDown"),)
    answer = client.get("/incidents", headers=authorized).json
    assert answer is not None
    assert (answer["mode"], answer["paused"]) == ("dry_run", "")
    (incident,) = answer["incidents"]
    assert (incident["id"], incident["server"], incident["state"]) == (7, "gpu1:8000", "open")
    assert [alert["name"] for alert in incident["alerts"]] == ["VllmDown"]


def test_is_ready_while_it_can_write_and_work(client: FlaskClient) -> None:
    assert client.get("/-/ready").status_code == 200
    assert client.get("/-/healthy").text == "healthy\n"


def test_is_not_ready_when_the_worker_has_ended(client: FlaskClient, worker: Any) -> None:
    worker.living = False
    answer = client.get("/-/ready")
    assert (answer.status_code, answer.text) == (
        503,
        "the worker has ended or is stuck; see the log, then restart the healer\n",
    )
    assert client.get("/-/healthy").status_code == 200


def test_is_not_ready_when_the_journal_cannot_write(client: FlaskClient, fake_journal: Any) -> None:
    fake_journal.trouble = "journal /j: its disk is full"
    answer = client.get("/-/ready")
    assert answer.status_code == 503
    assert "its disk is full" in answer.text
    assert client.get("/-/healthy").status_code == 200


def test_metrics_tell_that_it_is_paused(client: FlaskClient, fake_journal: Any) -> None:
    assert "\nvllm_healer_paused 0.0\n" in client.get("/metrics").text
    fake_journal.pause_words = "alice"
    assert "\nvllm_healer_paused 1.0\n" in client.get("/metrics").text


def test_metrics_are_there_when_the_journal_is_not(client: FlaskClient, fake_journal: Any) -> None:
    fake_journal.trouble = "damaged"
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "\nvllm_healer_paused NaN\n" in answer.text


def test_the_page_of_a_quiet_healer(client: FlaskClient, authorized: dict[str, str]) -> None:
    page = client.get("/", headers=authorized)
    assert page.content_type == "text/html; charset=utf-8"
    for words in ("dry_run", "only says what it would do", "Not paused.", "<p>None.</p>", "The journal is empty."):
        assert words in page.text


def test_the_page_shows_incidents_and_the_newest_sentence_first(
    client: FlaskClient, fake_journal: Any, cases: ModuleType, authorized: dict[str, str]
) -> None:
    fake_journal.pause_words = "alice: deploying"
    incident = cases.incident("VllmDown", "VllmEngineStalled")
    resolved = replace(incident.alerts[1], firing=False)
    fake_journal.incidents = (replace(incident, alerts=(incident.alerts[0], resolved)),)
    fake_journal.entries = tuple(
        Entry(number, 1_700_000_000.0 + number, 7, "note", f"sentence {number}.", {}) for number in range(30)
    )
    page = client.get("/", headers=authorized).text
    assert "<strong>Paused</strong>: alice: deploying" in page
    assert "VllmDown, VllmEngineStalled (resolved)" in page
    assert "2023-11-14 22:13:49" in page
    assert page.index("sentence 29.") < page.index("sentence 10.")
    assert "sentence 9." not in page


def test_the_page_escapes_what_strangers_wrote(
    client: FlaskClient, fake_journal: Any, cases: ModuleType, authorized: dict[str, str]
) -> None:
    evil = "<script>alert(1)</script>"
    incident = cases.incident()
    alert = replace(incident.alerts[0], name=evil)
    fake_journal.pause_words = evil
    fake_journal.incidents = (replace(incident, server=evil, alerts=(alert,)),)
    fake_journal.entries = (Entry(1, 1_700_000_000.0, None, evil, evil, {}),)
    answer = client.get("/", headers=authorized)
    assert "<script" not in answer.text
    assert answer.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_page_says_what_is_wrong_with_the_journal(
    client: FlaskClient, fake_journal: Any, authorized: dict[str, str]
) -> None:
    fake_journal.trouble = "journal /j: it is damaged"
    answer = client.get("/", headers=authorized)
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"] == "journal /j: it is damaged"


def test_unknown_paths_tell_nothing_to_strangers(client: FlaskClient, authorized: dict[str, str]) -> None:
    assert client.get("/<script>").status_code == 401
    answer = client.get("/<script>", headers=authorized)
    assert (answer.status_code, answer.json) == (
        404,
        {"error": "Not Found", "fix": "see the paths in the healer's documentation"},
    )


def test_without_the_token_the_page_has_numbers_and_no_words(
    client: FlaskClient, fake_journal: Any, cases: ModuleType
) -> None:
    fake_journal.pause_words = "alice: deploying"
    fake_journal.incidents = (cases.incident("VllmDown"),)
    fake_journal.entries = (Entry(1, 1_700_000_000.0, 7, "note", "a sentence", {}),)
    page = client.get("/").text
    assert "dry_run" in page
    assert "<strong>Paused</strong>. Open incidents: 1." in page
    for words in ("alice", "VllmDown", "gpu1", "a sentence"):
        assert words not in page


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/ready", "/incidents", "/nowhere"])
def test_a_name_that_leads_to_loopback_is_refused(client: FlaskClient, path: str) -> None:
    """DNS rebinding: a page on the internet asks by its own name."""
    answer = client.get(path, headers={"Host": "evil.example:9856"})
    assert answer.status_code == 421
    assert answer.json == {
        "error": "this is not this healer's name",
        "fix": "use its address, the machine's own name, or send the token",
    }


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/ready", "/incidents"])
def test_who_sends_the_token_may_come_by_any_name(client: FlaskClient, authorized: dict[str, str], path: str) -> None:
    """A proxy with TLS on the same host passes its own name on, and no page in a browser has the token."""
    named = {"Host": "healing.example.org"}
    assert client.get(path, headers={**authorized, **named}).status_code == 200
    assert client.get(path, headers={"Authorization": "Bearer of-another-healer", **named}).status_code == 421


def test_where_others_reach_it_a_scraper_may_use_any_name(deps: WebDeps) -> None:
    app = create_app(replace(deps, config=replace(deps.config, listen="0.0.0.0:9856")))
    found = {
        path: app.test_client().get(path, headers={"Host": "healer.monitoring.svc:9856"}).status_code
        for path in ("/metrics", "/-/ready", "/")
    }
    assert found == {"/metrics": 200, "/-/ready": 200, "/": 421}


def test_a_name_that_looks_like_another_is_quoted_on_the_page(
    client: FlaskClient, fake_journal: Any, authorized: dict[str, str], cases: ModuleType
) -> None:
    fake_journal.incidents = (replace(cases.incident(), server="vm:22101 "),)
    assert "<td>&#39;vm:22101 &#39;</td>" in client.get("/", headers=authorized).text


def test_readiness_does_not_tell_where_the_journal_is(client: FlaskClient, deps: WebDeps, fake_journal: Any) -> None:
    app = create_app(replace(deps, config=replace(deps.config, journal="/home/anna/state/journal.sqlite")))
    fake_journal.trouble = "journal /home/anna/state/journal.sqlite: its disk is full"
    answer = app.test_client().get("/-/ready")
    assert (answer.status_code, answer.text) == (503, "journal journal.sqlite: its disk is full\n")

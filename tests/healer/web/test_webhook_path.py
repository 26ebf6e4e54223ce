"""POST /alerts: who may, what is taken, and what is said otherwise."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from vllm_healer.errors import ConfigError
from vllm_healer.metrics import HealerMetrics
from vllm_healer.web import Right, WebDeps, create_app

ALERT = {
    "status": "firing",
    "labels": {"alertname": "VllmDown", "server": "gpu1:8000"},
    "annotations": {},
    "startsAt": "2026-03-01T12:00:05Z",
    "fingerprint": "c4a1f0e5b2d39871",
}
BODY = json.dumps({"version": "4", "alerts": [ALERT]})


def answers(metrics: HealerMetrics, code: str) -> float | None:
    return metrics.registry.get_sample_value("vllm_healer_webhook_requests_total", {"code": code})


def test_accepts_journals_and_wakes_the_worker(
    client: FlaskClient, fake_journal: Any, worker: Any, metrics: HealerMetrics, authorized: dict[str, str]
) -> None:
    answer = client.post("/alerts", data=BODY, headers=authorized)
    assert (answer.status_code, answer.json) == (200, {"accepted": 1})
    assert [alert.name for alert in fake_journal.recorded] == ["VllmDown"]
    assert worker.woken == 1
    assert answers(metrics, "200") == 1
    assert metrics.registry.get_sample_value("vllm_healer_webhook_seconds_count") == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer correct-hors",
        "Basic correct-horse",
        "correct-horse",
        "Bearer é",
    ],
)
def test_without_the_token_nothing_is_read(
    client: FlaskClient, fake_journal: Any, worker: Any, metrics: HealerMetrics, header: str
) -> None:
    answer = client.post("/alerts", data=BODY, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json is not None
    assert answer.json["error"] == "no or wrong bearer token"
    assert "correct-horse" not in answer.text
    assert (fake_journal.recorded, worker.woken) == ([], 0)
    assert answers(metrics, "401") == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{", "the body is not JSON"),
        (json.dumps({"version": "3", "alerts": []}), "'version' is '3'; this healer reads version '4'"),
        (json.dumps({"version": "4", "alerts": [{**ALERT, "labels": {}}]}), "alerts[0].labels has no 'alertname'"),
    ],
)
def test_what_is_no_notification_is_refused_with_words(
    client: FlaskClient, worker: Any, metrics: HealerMetrics, authorized: dict[str, str], body: str, error: str
) -> None:
    answer = client.post("/alerts", data=body, headers=authorized)
    assert answer.status_code == 400
    assert answer.json is not None
    assert error in answer.json["error"]
    assert answer.json["fix"] == "send what Alertmanager's webhook_configs sends, version 4"
    assert worker.woken == 0
    assert answers(metrics, "400") == 1


def test_a_body_above_the_limit_is_refused_and_counted(
    client: FlaskClient, metrics: HealerMetrics, authorized: dict[str, str]
) -> None:
    answer = client.post("/alerts", data=b" " * 10_001, headers=authorized)
    assert answer.status_code == 413
    assert answer.json is not None
    assert answer.json["error"] == "the body is larger than 10000 bytes"
    assert answers(metrics, "413") == 1


def test_a_body_at_the_limit_is_read(client: FlaskClient, authorized: dict[str, str]) -> None:
    assert client.post("/alerts", data=BODY.ljust(10_000), headers=authorized).status_code == 200


def test_is_not_acknowledged_while_the_journal_cannot_write(
    client: FlaskClient, fake_journal: Any, worker: Any, metrics: HealerMetrics, authorized: dict[str, str]
) -> None:
    fake_journal.trouble = "journal /j: its disk is full"
    answer = client.post("/alerts", data=BODY, headers=authorized)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")
    assert answer.json == {
        "error": "journal /j: its disk is full",
        "fix": "nothing was accepted; send it again later",
    }
    assert worker.woken == 0
    assert answers(metrics, "200") == 0
    fake_journal.trouble = ""
    assert client.post("/alerts", data=BODY, headers=authorized).status_code == 200
    assert (answers(metrics, "503"), answers(metrics, "200")) == (1, 1)


def test_other_requests_are_not_counted_as_webhooks(
    client: FlaskClient, metrics: HealerMetrics, authorized: dict[str, str]
) -> None:
    assert client.get("/alerts", headers=authorized).status_code == 405
    assert client.post("/nowhere", headers=authorized).status_code == 404
    assert client.get("/-/healthy").status_code == 200
    assert sum(answers(metrics, code) or 0 for code in ("200", "400", "401", "404", "405")) == 0


def test_the_token_is_in_no_text_of_its_holder(deps: WebDeps) -> None:
    assert "correct-horse" not in repr(deps)


def test_one_unreadable_alert_refuses_only_itself_and_is_in_the_log(
    client: FlaskClient,
    fake_journal: Any,
    metrics: HealerMetrics,
    authorized: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    nameless = {**ALERT, "labels": {"server": "gpu1:8000", "check": "disk"}}
    body = json.dumps({"version": "4", "alerts": [ALERT, nameless, ALERT]})
    answer = client.post("/alerts", data=body, headers=authorized)
    words = "alerts[1].labels has no 'alertname' ({'server': 'gpu1:8000', 'check': 'disk'}); "
    words += "expected the name of the alert rule"
    assert (answer.status_code, answer.json) == (200, {"accepted": 2, "unreadable": [words]})
    assert len(fake_journal.recorded) == 2
    assert f"1 of a webhook's alerts cannot be read from=127.0.0.1: {words}" in caplog.text
    assert metrics.registry.get_sample_value("vllm_healer_alerts_dropped_total", {"reason": "unreadable"}) == 1


@pytest.mark.parametrize("path", ["/alerts/", "/alerts?x=1", "/alerts/?x=1"])
def test_the_path_may_be_written_otherwise(
    client: FlaskClient, fake_journal: Any, authorized: dict[str, str], path: str
) -> None:
    assert client.post(path, data=BODY, headers=authorized, follow_redirects=True).status_code == 200
    assert len(fake_journal.recorded) == 1
    assert client.post(path, data=BODY).status_code == 401


def test_gzip_is_read(client: FlaskClient, fake_journal: Any, authorized: dict[str, str]) -> None:
    packed = gzip.compress(BODY.encode())
    answer = client.post("/alerts", data=packed, headers={**authorized, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json) == (200, {"accepted": 1})
    assert len(fake_journal.recorded) == 1


def test_a_bomb_is_refused_like_any_body_that_is_too_large(client: FlaskClient, authorized: dict[str, str]) -> None:
    packed = gzip.compress(bytes(100_000))
    answer = client.post("/alerts", data=packed, headers={**authorized, "Content-Encoding": "gzip"})
    assert answer.status_code == 413


def test_another_encoding_is_415_in_words(
    client: FlaskClient, metrics: HealerMetrics, authorized: dict[str, str]
) -> None:
    answer = client.post("/alerts", data=b"\x28\xb5", headers={**authorized, "Content-Encoding": "zstd"})
    assert answer.status_code == 415
    assert answer.json == {
        "error": "the Content-Encoding is 'zstd'; this healer reads gzip and identity",
        "fix": "send it with gzip or without Content-Encoding",
    }
    assert answers(metrics, "415") == 1


@pytest.mark.parametrize(("body", "status"), [("{", 400), (" " * 10_001, 413)])
def test_what_is_refused_is_in_the_log(
    client: FlaskClient, authorized: dict[str, str], caplog: pytest.LogCaptureFixture, body: str, status: int
) -> None:
    client.post("/alerts", data=body, headers=authorized)
    assert f"webhook refused status={status} from=127.0.0.1: the body is " in caplog.text


def test_what_finds_no_room_is_acknowledged_and_wakes_nobody(
    client: FlaskClient, fake_journal: Any, worker: Any, metrics: HealerMetrics, authorized: dict[str, str]
) -> None:
    fake_journal.room = 0
    answer = client.post("/alerts", data=BODY, headers=authorized)
    assert (answer.status_code, answer.json) == (200, {"accepted": 1, "left_out": 1})
    assert worker.woken == 0
    assert metrics.registry.get_sample_value("vllm_healer_alerts_dropped_total", {"reason": "left_out"}) == 1


def test_a_large_notification_is_journalled_in_parts(
    client: FlaskClient, fake_journal: Any, authorized: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vllm_healer.web.routes.ALERTS", 2)
    body = json.dumps({"version": "4", "alerts": [ALERT] * 5})
    assert client.post("/alerts", data=body, headers=authorized).json == {"accepted": 5}
    assert (fake_journal.held, len(fake_journal.recorded)) == (3, 5)


def test_a_new_token_is_taken_at_once(deps: WebDeps) -> None:
    """Alertmanager reads its file at each use."""
    tokens = ["first-token"]
    client = create_app(replace(deps, tokens=lambda _: (tokens[0],))).test_client()

    def post(token: str) -> int:
        return client.post("/alerts", data=BODY, headers={"Authorization": f"Bearer {token}"}).status_code

    assert (post("first-token"), post("second-token")) == (200, 401)
    tokens[0] = "second-token"
    assert (post("first-token"), post("second-token")) == (401, 200)


def test_while_the_token_cannot_be_read_nobody_is_let_in_and_alertmanager_comes_again(
    deps: WebDeps, caplog: pytest.LogCaptureFixture, authorized: dict[str, str]
) -> None:
    def gone(right: Right) -> tuple[str, ...]:
        raise ConfigError("token_file /run/token: No such file or directory; create it")

    answer = create_app(replace(deps, tokens=gone)).test_client().post("/alerts", data=BODY, headers=authorized)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")
    assert "/run" not in answer.text
    assert "nobody is let in: token_file /run/token: No such file or directory" in caplog.text

from __future__ import annotations

import json

import pytest

from vllm_healer.errors import BadPayload
from vllm_healer.model import Alert
from vllm_healer.webhook import parse

# As Alertmanager sends it, with all the fields that are of no use here.
NOTIFICATION: dict[str, object] = {
    "version": "4",
    "groupKey": '{}:{alertname="VllmDown"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "healer",
    "groupLabels": {"alertname": "VllmDown"},
    "commonLabels": {"alertname": "VllmDown"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "VllmDown", "server": "gpu1:8000", "severity": "critical"},
            "annotations": {"summary": "vLLM does not answer"},
            "startsAt": "2026-03-01T12:00:05.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": "c4a1f0e5b2d39871",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "Watchdog"},
            "annotations": {},
            "startsAt": "2026-03-01T11:00:00Z",
            "endsAt": "2026-03-01T12:00:00Z",
            "fingerprint": "0000000000000001",
        },
    ],
}
FIRING = NOTIFICATION["alerts"][0]  # type: ignore[index]


def body(**changes: object) -> bytes:
    """The notification with other fields; None takes one away."""
    fields = {**NOTIFICATION, **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


def with_alert(**changes: object) -> bytes:
    fields = {**FIRING, **changes}
    return body(alerts=[{key: value for key, value in fields.items() if value is not None}])


def test_reads_firing_and_resolved_alerts_in_order() -> None:
    assert parse(body()) == (
        Alert(
            fingerprint="c4a1f0e5b2d39871",
            name="VllmDown",
            firing=True,
            starts_at="2026-03-01T12:00:05.123456789Z",
            labels={"alertname": "VllmDown", "server": "gpu1:8000", "severity": "critical"},
            annotations={"summary": "vLLM does not answer"},
        ),
        Alert("0000000000000001", "Watchdog", False, "2026-03-01T11:00:00Z", {"alertname": "Watchdog"}, {}),
    )


def test_a_notification_without_alerts_is_nothing_to_do() -> None:
    assert parse(body(alerts=[])) == ()


def test_annotations_may_be_absent() -> None:
    assert parse(with_alert(annotations=None))[0].annotations == {}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "the body is not JSON"),
        (b"{'version': 4}", "the body is not JSON .* starts with b\"{'version': 4}\""),
        (b"\xff\xfe\x00", "the body is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", r"the body is \[\]; expected a JSON object"),
        (b"null", "the body is missing; expected a JSON object"),
        (body(version="3"), "'version' is '3'; this healer reads version '4'"),
        (body(version=4), "'version' is 4; this healer reads version '4'"),
        (body(version=None), "'version' is missing"),
        (body(alerts=None), "'alerts' is missing; expected a list"),
        (body(alerts={}), "'alerts' is {}; expected a list"),
        (body(alerts=["x"]), r"alerts\[0\] is 'x'; expected an object"),
        (with_alert(labels=None), r"alerts\[0\]\.labels is missing; expected an object of strings"),
        (with_alert(labels={}), r"alerts\[0\]\.labels has no 'alertname'"),
        (with_alert(labels={"alertname": ""}), "has no 'alertname'"),
        (with_alert(labels={"alertname": "A", "gpu": 3}), r"alerts\[0\]\.labels\['gpu'\] is 3; expected a string"),
        (with_alert(annotations={"summary": None}), r"annotations\['summary'\] is missing; expected a string"),
        (with_alert(labels={"alertname": "\ud800"}), r"labels\['alertname'\] is '\\ud800'; expected a string"),
        (with_alert(fingerprint=None), r"alerts\[0\]\.fingerprint is missing; expected a string that is not empty"),
        (with_alert(fingerprint=""), "fingerprint is ''"),
        (with_alert(startsAt=None), r"alerts\[0\]\.startsAt is missing"),
        (with_alert(status=None), r"alerts\[0\]\.status is missing; expected 'firing' or 'resolved'"),
        (with_alert(status="pending"), "status is 'pending'"),
        (with_alert(status=["firing"]), r"status is \['firing'\]"),
    ],
)
def test_says_what_is_wrong(payload: bytes, words: str) -> None:
    with pytest.raises(BadPayload, match=words):
        parse(payload)


def test_what_it_says_is_short() -> None:
    with pytest.raises(BadPayload) as caught:
        parse(with_alert(status="x" * 10_000))
    assert len(str(caught.value)) < 150

from __future__ import annotations

import gzip
import json

import pytest

from vllm_healer.errors import BadEncoding, BadPayload
from vllm_healer.model import Alert
from vllm_healer.webhook import decode, parse

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
    assert parse(body()).alerts == (
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
    assert parse(body(alerts=[])).alerts == ()


def test_annotations_may_be_absent() -> None:
    assert parse(with_alert(annotations=None)).alerts[0].annotations == {}


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
        (with_alert(labels=None), r"alerts\[0\]\.labels has no 'alertname'"),
        (with_alert(labels=[]), r"alerts\[0\]\.labels is \[\]; expected an object of strings"),
        (with_alert(labels={}), r"alerts\[0\]\.labels has no 'alertname'"),
        (with_alert(labels={"alertname": ""}), "has no 'alertname'"),
        (with_alert(labels={"alertname": "A", "gpu": 3}), r"alerts\[0\]\.labels\['gpu'\] is 3; expected a string"),
        (with_alert(fingerprint="f" * 257), r"fingerprint has 257 characters; at most 256 are read"),
        (with_alert(startsAt="2" * 5000), r"startsAt has 5000 characters; at most 256 are read"),
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


def alerts(*changes: dict[str, object]) -> bytes:
    """A notification with one alert for each set of other fields."""
    return body(alerts=[{**FIRING, **fields} for fields in changes])


def test_an_unreadable_alert_refuses_only_itself() -> None:
    """Alertmanager allows alerts without a name (kubernaut#1032)."""
    heard = parse(alerts({"fingerprint": "1"}, {"labels": {"server": "gpu1:8000"}}, {"fingerprint": "3"}))
    assert [alert.fingerprint for alert in heard.alerts] == ["1", "3"]
    (words,) = heard.unreadable
    assert "alerts[1].labels has no 'alertname' ({'server': 'gpu1:8000'})" in words


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "x",
        [],
        {**FIRING, "status": "unknown"},
        {**FIRING, "fingerprint": None},
        {**FIRING, "startsAt": 1_700_000_000},
        {**FIRING, "labels": {"alertname": "A", "n": 1}},
        {**FIRING, "fingerprint": "f" * 300},
    ],
)
def test_the_readable_alert_beside_any_broken_one_is_taken(broken: object) -> None:
    heard = parse(body(alerts=[broken, FIRING]))
    assert [alert.name for alert in heard.alerts] == ["VllmDown"]
    assert len(heard.unreadable) == 1
    assert heard.unreadable[0].startswith("alerts[0]")


@pytest.mark.parametrize(
    ("annotations", "kept"),
    [
        ({"summary": "down", "value": 3, "since": None, "page": True, "more": {"a": 1}}, {"summary": "down"}),
        ({"summary": "\ud800", "description": "d"}, {"description": "d"}),
        ("", {}),
        (["summary"], {}),
        (7, {}),
    ],
)
def test_an_annotation_that_is_no_text_costs_no_alert(annotations: object, kept: dict[str, str]) -> None:
    heard = parse(with_alert(annotations=annotations))
    assert [(alert.name, alert.annotations) for alert in heard.alerts] == [("VllmDown", kept)]
    assert heard.unreadable == ()


def test_when_no_alert_can_be_read_the_first_is_named_and_the_others_are_counted() -> None:
    with pytest.raises(BadPayload, match=r"alerts\[0\]\.labels has no 'alertname' .* \(and 2 more\)"):
        parse(alerts({"labels": {}}, {"labels": {}}, {"labels": {}}))


def test_null_is_an_empty_list_or_map_as_go_writes_it() -> None:
    assert parse(NULL_ALERTS).alerts == ()
    heard = parse(alerts({"annotations": None}, {"annotations": {"summary": None, "description": "d"}}))
    assert [alert.annotations for alert in heard.alerts] == [{}, {"description": "d"}]
    labels = parse(alerts({"labels": {"alertname": "A", "pod": None}})).alerts[0].labels
    assert labels == {"alertname": "A"}


NULL_ALERTS = b'{"version": "4", "alerts": null, "groupLabels": null, "commonLabels": null, "commonAnnotations": null}'


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_plain_body_is_left_alone(encoding: str) -> None:
    assert decode(b"{}", encoding, 100) == b"{}"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_gzip_is_unpacked(encoding: str) -> None:
    assert decode(gzip.compress(b'{"version": "4"}'), encoding, 100) == b'{"version": "4"}'


def test_gzip_files_that_follow_each_other_are_one_body() -> None:
    assert decode(gzip.compress(b"ab") + gzip.compress(b"cd"), "gzip", 100) == b"abcd"


def test_a_bomb_is_unpacked_to_one_byte_above_the_limit_and_no_further() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(decode(bomb, "gzip", 1000)) == 1001
    assert len(decode(gzip.compress(bytes(600)) + bomb, "gzip", 1000)) == 1001


@pytest.mark.parametrize(
    ("packed", "encoding", "words"),
    [
        (b"{}", "gzip", "the Content-Encoding is gzip, and the body is not"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-9], "gzip", "the Content-Encoding is gzip, and the body ends too early"),
        (b"{}", "br", "the Content-Encoding is 'br'; this healer reads gzip and identity"),
        (b"{}", "zstd", "the Content-Encoding is 'zstd'; this healer reads"),
        (b"{}", "gzip, gzip", "the Content-Encoding is 'gzip, gzip'; this healer reads"),
    ],
)
def test_says_which_encoding_is_wrong(packed: bytes, encoding: str, words: str) -> None:
    with pytest.raises(BadEncoding, match=words):
        decode(packed, encoding, 1000)

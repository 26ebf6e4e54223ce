"""Alertmanager's webhook notification, version 4: from bytes to alerts.

Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Unknown fields are ignored, so that a
newer Alertmanager is understood; what is needed and missing is an error, never a guess.
"""

from __future__ import annotations

import json

from vllm_healer.errors import BadPayload
from vllm_healer.model import Alert

VERSION = "4"
FIRING = {"firing": True, "resolved": False}


def parse(body: bytes) -> tuple[Alert, ...]:
    """The alerts of one notification, in its order. Raises BadPayload that says which field is wrong."""
    payload = _json_object(body)
    if payload.get("version") != VERSION:
        raise BadPayload(f"'version' is {_shown(payload.get('version'))}; this healer reads version {VERSION!r}")
    alerts = payload.get("alerts")
    if not isinstance(alerts, list):
        raise BadPayload(f"'alerts' is {_shown(alerts)}; expected a list")
    return tuple(parse_alert(alert, f"alerts[{index}]") for index, alert in enumerate(alerts))


def parse_alert(raw: object, where: str) -> Alert:
    """One element of `alerts`; `where` names it in errors. Raises BadPayload."""
    if not isinstance(raw, dict):
        raise BadPayload(f"{where} is {_shown(raw)}; expected an object")
    labels = _texts(raw.get("labels"), f"{where}.labels")
    if not labels.get("alertname"):
        raise BadPayload(f"{where}.labels has no 'alertname'; expected the name of the alert rule")
    return Alert(
        fingerprint=_text(raw.get("fingerprint"), f"{where}.fingerprint"),
        name=labels["alertname"],
        firing=_firing(raw.get("status"), f"{where}.status"),
        starts_at=_text(raw.get("startsAt"), f"{where}.startsAt"),
        labels=labels,
        annotations=_texts(raw.get("annotations", {}), f"{where}.annotations"),
    )


def _json_object(body: bytes) -> dict[str, object]:
    try:
        payload = json.loads(body)
    except RecursionError:  # a few MB of '[' would otherwise end the request with a stack trace
        raise BadPayload("the body is JSON nested too deeply; expected an Alertmanager notification") from None
    except ValueError as error:
        raise BadPayload(f"the body is not JSON ({error}); it starts with {_shown(body[:40])}") from None
    if not isinstance(payload, dict):
        raise BadPayload(f"the body is {_shown(payload)}; expected a JSON object")
    return payload


def _firing(raw: object, where: str) -> bool:
    if not isinstance(raw, str) or raw not in FIRING:
        raise BadPayload(f"{where} is {_shown(raw)}; expected 'firing' or 'resolved'")
    return FIRING[raw]


def _texts(raw: object, where: str) -> dict[str, str]:
    if not isinstance(raw, dict):
        raise BadPayload(f"{where} is {_shown(raw)}; expected an object of strings")
    for key, value in raw.items():
        if not _storable(key) or not _storable(value):
            raise BadPayload(f"{where}[{_shown(key)}] is {_shown(value)}; expected a string")
    return raw


def _text(raw: object, where: str) -> str:
    if not raw or not isinstance(raw, str) or not _storable(raw):
        raise BadPayload(f"{where} is {_shown(raw)}; expected a string that is not empty")
    return raw


def _storable(value: object) -> bool:
    """True for text that can be stored: JSON can spell half a surrogate pair, which no UTF-8 file can hold."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _shown(value: object) -> str:
    """The value that was found, short enough for one line of a log and free of anything that is not ASCII."""
    if value is None:
        return "missing"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Alertmanager's webhook notification, version 4: from bytes to alerts.

Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Unknown fields are ignored, so that a
newer Alertmanager is understood. `null` is how Go writes an empty list or map. What is needed and missing is an error,
never a guess, and only of the one alert that lacks it.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from dataclasses import dataclass

from vllm_healer.errors import BadEncoding, BadPayload
from vllm_healer.model import Alert

VERSION = "4"
FIRING = {"firing": True, "resolved": False}
LONGEST = 256  # characters of a fingerprint and of a start; Alertmanager's have 16 and 35


@dataclass(frozen=True)
class Notification:
    """The alerts that could be read, in their order, and what is wrong with each of the others."""

    alerts: tuple[Alert, ...]
    unreadable: tuple[str, ...] = ()


def decode(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding; of what unpacks to more than `limit` bytes, one byte more than that.

    Raises BadEncoding for any encoding but gzip.
    """
    known = encoding.strip().lower()
    if known in ("", "identity"):
        return body
    if known not in ("gzip", "x-gzip"):
        raise BadEncoding(f"the Content-Encoding is {_shown(encoding)}; this healer reads gzip and identity")
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(body)).read(limit + 1)
    except EOFError:
        raise BadEncoding("the Content-Encoding is gzip, and the body ends too early") from None
    except (OSError, zlib.error) as error:
        raise BadEncoding(f"the Content-Encoding is gzip, and the body is not ({error})") from None


def parse(body: bytes) -> Notification:
    """Reads one notification. Raises BadPayload that says which field is wrong, or that no alert can be read."""
    payload = _json_object(body)
    if payload.get("version") != VERSION:
        raise BadPayload(f"'version' is {_shown(payload.get('version'))}; this healer reads version {VERSION!r}")
    raw = payload.get("alerts", "")  # null is a list without alerts; a field that is not there is none
    if raw is not None and not isinstance(raw, list):
        raise BadPayload(f"'alerts' is {_shown(raw) if 'alerts' in payload else 'missing'}; expected a list")
    found = [_parse_or_say(alert, f"alerts[{index}]") for index, alert in enumerate(raw or ())]
    alerts = tuple(alert for alert in found if isinstance(alert, Alert))
    unreadable = tuple(words for words in found if isinstance(words, str))
    if unreadable and not alerts:
        raise BadPayload(unreadable[0] if len(unreadable) == 1 else f"{unreadable[0]} (and {len(unreadable) - 1} more)")
    return Notification(alerts, unreadable)


def parse_alert(raw: object, where: str) -> Alert:
    """One element of `alerts`; `where` names it in errors. Raises BadPayload."""
    if not isinstance(raw, dict):
        raise BadPayload(f"{where} is {_shown(raw)}; expected an object")
    labels = _texts(raw.get("labels"), f"{where}.labels")
    if not labels.get("alertname"):
        raise BadPayload(f"{where}.labels has no 'alertname' ({_shown(labels)}); expected the name of the alert rule")
    return Alert(
        fingerprint=_text(raw.get("fingerprint"), f"{where}.fingerprint"),
        name=labels["alertname"],
        firing=_firing(raw.get("status"), f"{where}.status"),
        starts_at=_text(raw.get("startsAt"), f"{where}.startsAt"),
        labels=labels,
        annotations=_annotations(raw.get("annotations")),
    )


def _parse_or_say(raw: object, where: str) -> Alert | str:
    try:
        return parse_alert(raw, where)
    except BadPayload as error:
        return str(error)


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
    """Texts by name; null is none of them."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise BadPayload(f"{where} is {_shown(raw)}; expected an object of strings")
    for key, value in raw.items():
        if not _storable(key) or not (value is None or _storable(value)):
            raise BadPayload(f"{where}[{_shown(key)}] is {_shown(value)}; expected a string")
    return {key: value for key, value in raw.items() if value is not None}


def _annotations(raw: object) -> dict[str, str]:
    """The annotations that are texts. They decide nothing, so one that is none costs no alert."""
    given = raw if isinstance(raw, dict) else {}
    return {key: value for key, value in given.items() if _storable(key) and _storable(value)}


def _text(raw: object, where: str) -> str:
    if not raw or not isinstance(raw, str) or not _storable(raw):
        raise BadPayload(f"{where} is {_shown(raw)}; expected a string that is not empty")
    if len(raw) > LONGEST:
        raise BadPayload(f"{where} has {len(raw)} characters; at most {LONGEST} are read")
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

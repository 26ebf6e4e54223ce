"""Alertmanager's API v2 (0.16 and later): tells which alerts are active now, whatever webhooks were lost."""

from __future__ import annotations

from vllm_healer.errors import Blind
from vllm_healer.jsonapi import JsonApi
from vllm_healer.model import Alert
from vllm_healer.net.http_config import HttpConfig
from vllm_healer.printable import shown

TIMEOUT = 5.0  # seconds; a list of thousands of alerts takes a tenth of one
MAX_BODY = 16 * 1024 * 1024  # bytes: some 15,000 alerts, which take the healer five times that in memory
# Silenced means that a person knows; inhibited, that another alert says it better. Neither may cause an action.
WANTED = {"active": "true", "silenced": "false", "inhibited": "false", "unprocessed": "false"}


class Alertmanager:
    """Implements the port ActiveAlerts."""

    def __init__(self, url: str, timeout: float = TIMEOUT, http_config: HttpConfig | None = None) -> None:
        self._api = JsonApi(
            url, "Alertmanager", "alertmanager_http_config", timeout, http_config or HttpConfig(), MAX_BODY
        )

    def active(self) -> tuple[Alert, ...]:
        return parse_alerts(self._api.get("/api/v2/alerts", WANTED).document, self._api.who)


def parse_alerts(answer: object, who: str) -> tuple[Alert, ...]:
    """The active alerts. Raises Blind when one cannot be read: a list with holes would look like alerts that ended."""
    if not isinstance(answer, list):
        raise Blind(f"{who} answered no list of alerts: {shown(answer)}")
    return tuple(_alert(entry, who) for entry in answer if _is_active(entry, who))


def _is_active(entry: object, who: str) -> bool:
    """True for an active alert. It is checked again, since a server that ignores the filters must unsilence nothing."""
    status = _mapping(entry, "status", who)
    return status.get("state") == "active" and not status.get("silencedBy") and not status.get("inhibitedBy")


def _alert(entry: object, who: str) -> Alert:
    labels, annotations = _texts(entry, "labels", who), _texts(entry, "annotations", who)
    fingerprint, starts_at = _text(entry, "fingerprint", who), _text(entry, "startsAt", who)
    return Alert(fingerprint, labels.get("alertname", ""), True, starts_at, labels, annotations)


def _texts(entry: object, key: str, who: str) -> dict[str, str]:
    """The mapping with text as values, which Alertmanager always answers; what is something else is shown in short."""
    given = _mapping(entry, key, who)
    return {str(name): value if isinstance(value, str) else shown(value) for name, value in given.items()}


def _mapping(entry: object, key: str, who: str) -> dict[object, object]:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, dict):
        raise Blind(f"{who} answered an alert without {key}: {shown(entry)}")
    return value


def _text(entry: object, key: str, who: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise Blind(f"{who} answered an alert without {key}: {shown(entry)}")
    return value

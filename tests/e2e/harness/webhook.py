"""An Alertmanager notification (webhook version 4) made from an alert that Alertmanager really has."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.e2e.harness import httpio
from tests.e2e.harness.stack import Stack


def notification(stack: Stack, alertname: str) -> dict[str, Any] | None:
    """What Alertmanager sends for it; None while the alert is not active."""
    names = "&".join(f"filter={quote(text)}" for text in (f'server="{stack.name}"', f'alertname="{alertname}"'))
    found = httpio.get_json(f"{stack.urls.alertmanager}/api/v2/alerts?active=true&{names}")
    if not found:
        return None
    alert = found[0]
    return {
        "version": "4", "groupKey": '{}:{}', "truncatedAlerts": 0, "status": "firing", "receiver": "healer",
        "groupLabels": alert["labels"], "commonLabels": alert["labels"], "commonAnnotations": alert["annotations"],
        "externalURL": stack.urls.alertmanager,
        "alerts": [{
            "status": "firing", "labels": alert["labels"], "annotations": alert["annotations"],
            "startsAt": alert["startsAt"], "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": alert["generatorURL"], "fingerprint": alert["fingerprint"],
        }],
    }  # fmt: skip


def deliver(stack: Stack, body: dict[str, Any]) -> int:
    """The healer's HTTP status."""
    token = stack.token_file.read_text().strip()
    return httpio.post_json(f"{stack.urls.healer}/alerts", body, {"Authorization": f"Bearer {token}"})[0]

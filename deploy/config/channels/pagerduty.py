"""PagerDuty, by its Events API v2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from deploy.config.channel import TITLE, Channel, Receiver
from deploy.config.dotenv import Entry
from deploy.config.key import Key, check_url
from deploy.errors import SettingsError

ROUTING_KEY_FILE, URL = "PAGERDUTY_ROUTING_KEY_FILE", "PAGERDUTY_URL"

# https://developer.pagerduty.com/docs/send-alert-event: "the 32 character Integration Key"
_ROUTING_KEY = re.compile(r"[A-Za-z0-9]{32}")


def check_routing_key(entry: Entry) -> None:
    """Raises SettingsError, for example for an API token, which PagerDuty would refuse at the first alert."""
    if not _ROUTING_KEY.fullmatch(Path(entry.value).read_text(encoding="utf-8").strip()):
        raise SettingsError(
            f"{entry.where}: {entry.key}: {entry.value} does not hold an integration key, which has 32 letters and "
            'digits: copy it from the integration "Events API V2" of your service in PagerDuty'
        )


class PagerDuty(Channel):
    """One incident for each group of alerts; PagerDuty resolves it when Alertmanager says that they are over.

    Alertmanager's key for the group is the `dedup_key`: what is sent again changes the incident, and opens none.
    """

    title = "PagerDuty"
    setup = (
        'In PagerDuty, add the integration "Events API V2" to a service, and write its integration key into a file. '
        "An alert opens an incident with the severity of its label (critical, warning, info; error for any other), and "
        "resolves it when it is over."
    )
    prefix = "PAGERDUTY"
    where = (ROUTING_KEY_FILE,)
    keys = (
        Key(
            ROUTING_KEY_FILE,
            "File that holds the integration key (routing key) of the service.",
            example="secrets/pagerduty_key",
            file=True,
            check=check_routing_key,
        ),
        Key(
            URL,
            "Where events go; accounts in the EU have https://events.eu.pagerduty.com/v2/enqueue.",
            "https://events.pagerduty.com/v2/enqueue",
            needs=(ROUTING_KEY_FILE,),
            check=check_url,
        ),
    )

    def receiver(self, value: Mapping[str, str]) -> Receiver:
        block = {
            "routing_key_file": value[ROUTING_KEY_FILE],
            "url": value[URL],
            "send_resolved": True,
            "client": "vllm-monitor",
            "client_url": "{{ .ExternalURL }}/#/alerts",
            "description": TITLE,
            "severity": '{{ template "vllm.pagerduty.severity" . }}',
            "source": '{{ template "vllm.pagerduty.source" . }}',
            "class": '{{ template "vllm.what" . }}',
            "component": "{{ .CommonLabels.component }}",
            "group": "{{ .CommonLabels.model_name }}",
            # The first four replace Alertmanager's own, which have no limit.
            "details": {
                "firing": '{{ template "vllm.pagerduty.firing" . }}',
                "resolved": '{{ template "vllm.pagerduty.resolved" . }}',
                "num_firing": "{{ .Alerts.Firing | len }}",
                "num_resolved": "{{ .Alerts.Resolved | len }}",
                "failure_mode": "{{ .CommonLabels.failure_mode }}",
            },
            "links": [
                {"href": '{{ template "vllm.runbook" . }}', "text": "Runbook"},
                {"href": '{{ template "vllm.dashboard" . }}', "text": "Dashboard"},
                {"href": '{{ template "vllm.silence" . }}', "text": "Silence"},
            ],
        }
        return Receiver("PagerDuty", "pagerduty_configs", block, opens_incidents=True)

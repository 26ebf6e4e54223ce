"""Opsgenie, by its Alert API."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.config.channel import TITLE, Channel, Receiver
from deploy.config.key import Key, check_url

KEY_FILE, URL = "OPSGENIE_API_KEY_FILE", "OPSGENIE_API_URL"


class Opsgenie(Channel):
    """One Opsgenie alert for each group of alerts, closed when they are over. The group's key is its alias."""

    title = "Opsgenie"
    setup = "In Opsgenie, add the integration Prometheus to a team, and write its API key into a file."
    prefix = "OPSGENIE"
    where = (KEY_FILE,)
    keys = (
        Key(KEY_FILE, "File that holds the API key of the integration.", example="secrets/opsgenie_key", file=True),
        Key(
            URL,
            "Where alerts go; accounts in the EU have https://api.eu.opsgenie.com/.",
            "https://api.opsgenie.com/",
            needs=(KEY_FILE,),
            check=check_url,
        ),
    )

    def receiver(self, value: Mapping[str, str]) -> Receiver:
        block = {
            "api_key_file": value[KEY_FILE],
            "api_url": value[URL],
            "send_resolved": True,
            "message": TITLE,
            "description": '{{ template "vllm.pagerduty.firing" . }}',  # Opsgenie takes 15,000 characters
            "source": "vllm-monitor",
            "entity": "{{ .CommonLabels.server }}",
            "priority": '{{ template "vllm.opsgenie.priority" . }}',
            "details": {
                "runbook": '{{ template "vllm.runbook" . }}',
                "dashboard": '{{ template "vllm.dashboard" . }}',
                "silence": '{{ template "vllm.silence" . }}',
            },
            "tags": "{{ .CommonLabels.severity }},{{ .CommonLabels.component }},{{ .CommonLabels.failure_mode }}",
        }
        return Receiver("Opsgenie", "opsgenie_configs", block, opens_incidents=True)

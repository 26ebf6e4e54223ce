"""A webhook of the user's own, which takes Alertmanager's format."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.config.channel import Channel, Receiver
from deploy.config.key import Key, check_url

URL = "ALERT_WEBHOOK_URL"


class Webhook(Channel):
    """Alertmanager's own JSON (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)."""

    title = "webhook"
    setup = "For a program of your own, or one that takes Alertmanager's format. Its answer must be 2xx."
    keys = (
        Key(
            URL,
            "URL that receives alerts in Alertmanager's webhook format.",
            example="https://alerts.example.org/vllm",
            check=check_url,
        ),
    )

    def receiver(self, value: Mapping[str, str]) -> Receiver:
        return Receiver("webhook", "webhook_configs", {"url": value[URL], "send_resolved": True})

"""A webhook of the user's own, which takes Alertmanager's format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.config.channel import Channel, Receiver
from deploy.config.key import Key, check_url, check_url_in_file

URL, URL_FILE = "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_URL_FILE"
_SECRET = (
    f"{URL} holds a password, which the environment shows to others: write the URL into a file, name it {URL_FILE}"
)


class Webhook(Channel):
    """Alertmanager's own JSON (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)."""

    title = "webhook"
    setup = "For a program of your own, or one that takes Alertmanager's format. Its answer must be 2xx."
    prefix = "ALERT_WEBHOOK"
    where = (URL_FILE, URL)
    keys = (
        Key(
            URL_FILE,
            "File that holds the URL which receives alerts in Alertmanager's webhook format.",
            example="secrets/webhook_url",
            file=True,
            instead_of=URL,
            check=check_url_in_file,
        ),
        Key(
            URL,
            f"The same URL here, where it holds no secret: with one, {URL_FILE} keeps it.",
            example="https://alerts.example.org/vllm",
            check=check_url,
        ),
    )

    def receiver(self, value: Mapping[str, str]) -> Receiver:
        """Writes the URL itself into the configuration: Alertmanager 0.25 reads none from a file."""
        url = value[URL] or Path(value[URL_FILE]).read_text(encoding="utf-8").strip()
        warnings = (_SECRET,) if urlsplit(value[URL]).password else ()
        return Receiver("webhook", "webhook_configs", {"url": url, "send_resolved": True}, warnings)

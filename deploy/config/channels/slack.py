"""Slack, by an incoming webhook."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.config.channel import Channel, Receiver
from deploy.config.key import Key, check_url_in_file

URL_FILE = "SLACK_WEBHOOK_URL_FILE"


class Slack(Channel):
    """One message for each group of alerts, in the channel that the webhook belongs to."""

    title = "Slack"
    setup = "In Slack, make an app with an incoming webhook for your channel, and write the webhook's URL into a file."
    prefix = "SLACK"
    where = (URL_FILE,)
    keys = (
        Key(
            URL_FILE,
            "File that holds a Slack incoming-webhook URL: alerts go to that channel.",
            example="secrets/slack_url",
            file=True,
            check=check_url_in_file,
        ),
    )

    def receiver(self, value: Mapping[str, str]) -> Receiver:
        block = {
            "api_url_file": value[URL_FILE],
            "send_resolved": True,
            "color": '{{ template "vllm.slack.colour" . }}',
            "title": '{{ template "vllm.slack.title" . }}',
            "title_link": "{{ .ExternalURL }}/#/alerts",
            "fallback": '{{ template "vllm.slack.title" . }}',
            "text": '{{ template "vllm.slack.text" . }}',
            "footer": "vllm-monitor",
        }
        return Receiver("Slack", "slack_configs", block)

"""Microsoft Teams, by a workflow's webhook."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.config.channel import TITLE, Channel, Receiver
from deploy.config.key import Key, check_url_in_file

URL_FILE = "MSTEAMS_WEBHOOK_URL_FILE"


class MicrosoftTeams(Channel):
    """One card for each group of alerts, in the channel or chat that the workflow posts to."""

    title = "Microsoft Teams"
    setup = (
        'In Teams, add the workflow "Post to a channel when a webhook request is received", and write its URL into a '
        "file. Needs Alertmanager 0.28 or later, as containers have it; distributions may have an older one."
    )
    prefix = "MSTEAMS"
    where = (URL_FILE,)
    keys = (
        Key(
            URL_FILE,
            "File that holds the URL of the workflow.",
            example="secrets/msteams_url",
            file=True,
            check=check_url_in_file,
        ),
    )

    def receiver(self, value: Mapping[str, str]) -> Receiver:
        block = {
            "webhook_url_file": value[URL_FILE],
            "send_resolved": True,
            "title": TITLE,
            "text": '{{ template "vllm.msteams.text" . }}',
        }
        return Receiver("Microsoft Teams", "msteamsv2_configs", block, since=(0, 28))

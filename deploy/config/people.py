"""Where alerts reach people: Slack, a webhook, mail; each is on when its settings are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from deploy.config.dotenv import Entry
from deploy.errors import SettingsError

HOW = "set SLACK_WEBHOOK_URL_FILE, ALERT_WEBHOOK_URL or SMTP_SMARTHOST in .env"


@dataclass(frozen=True)
class Mail:
    smarthost: str
    sender: str
    to: str
    username: str = ""
    password_file: str = ""
    require_tls: bool = True


@dataclass(frozen=True)
class People:
    """Every channel is optional; without any, alerts are seen in Alertmanager only."""

    slack_url_file: str = ""
    webhook_url: str = ""
    mail: Mail | None = None

    def words(self) -> str:
        """One line for a person; never a URL, which is a secret for Slack and for many webhooks."""
        channels = [name for name, on in (("Slack", self.slack_url_file), ("webhook", self.webhook_url)) if on]
        channels += [f"mail to {self.mail.to}"] if self.mail else []
        return ", ".join(channels) or f"nobody is told: {HOW}"


NO_PEOPLE = People()


def parse_people(chosen: Mapping[str, Entry]) -> People:
    """Raises SettingsError when a channel is given by half."""
    return People(_value(chosen, "SLACK_WEBHOOK_URL_FILE"), _url(chosen, "ALERT_WEBHOOK_URL"), _mail(chosen))


def _mail(chosen: Mapping[str, Entry]) -> Mail | None:
    names = [name for name in chosen if name.startswith("SMTP_")]
    if not names:
        return None
    for needed in ("SMTP_SMARTHOST", "SMTP_FROM", "SMTP_TO"):
        if needed not in chosen:
            raise SettingsError(f"{chosen[names[0]].where}: {names[0]} is set but {needed} is not: mail needs both")
    if ("SMTP_USERNAME" in chosen) != ("SMTP_PASSWORD_FILE" in chosen):
        raise SettingsError("SMTP_USERNAME and SMTP_PASSWORD_FILE belong together: set both or neither")
    return Mail(
        smarthost=_smarthost(chosen["SMTP_SMARTHOST"]),
        sender=chosen["SMTP_FROM"].value,
        to=chosen["SMTP_TO"].value,
        username=_value(chosen, "SMTP_USERNAME"),
        password_file=_value(chosen, "SMTP_PASSWORD_FILE"),
        require_tls=_boolean(chosen["SMTP_REQUIRE_TLS"]) if "SMTP_REQUIRE_TLS" in chosen else True,
    )


def _value(chosen: Mapping[str, Entry], name: str) -> str:
    return chosen[name].value if name in chosen else ""


def _smarthost(entry: Entry) -> str:
    host, _, port = entry.value.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(
            f"{entry.where}: {entry.key} is {entry.value!r}: write host:port, for example mail.example.org:587"
        )
    return entry.value


def _boolean(entry: Entry) -> bool:
    if entry.value not in ("true", "false"):
        raise SettingsError(f"{entry.where}: {entry.key} is {entry.value!r}: write true or false")
    return entry.value == "true"


def _url(chosen: Mapping[str, Entry], name: str) -> str:
    if name not in chosen:
        return ""
    entry = chosen[name]
    parts = urlsplit(entry.value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{entry.where}: {name} does not begin with http://host or https://host")
    return entry.value

"""E-mail through the user's mail server."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.config.channel import TEXT, TITLE, Channel, Receiver
from deploy.config.key import Key, check_boolean, check_host_port

SMARTHOST, SENDER, TO = "SMTP_SMARTHOST", "SMTP_FROM", "SMTP_TO"
USERNAME, PASSWORD_FILE, REQUIRE_TLS = "SMTP_USERNAME", "SMTP_PASSWORD_FILE", "SMTP_REQUIRE_TLS"


class Email(Channel):
    """One mail for each group of alerts, as plain text and as HTML."""

    title = "e-mail"
    setup = "Name a mail server that takes mail from this host, with a login if it wants one."
    prefix = "SMTP"
    where = (TO,)
    keys = (
        Key(
            SMARTHOST,
            "Mail server, host:port: alerts go to SMTP_TO.",
            example="mail.example.org:587",
            needs=(SENDER, TO),
            check=check_host_port,
        ),
        Key(SENDER, "Sender of alert mails.", example="vllm@example.org", needs=(SMARTHOST,)),
        Key(TO, "Receivers of alert mails, separated by commas.", example="oncall@example.org", needs=(SMARTHOST,)),
        Key(USERNAME, "Login, if the mail server wants one.", example="vllm", needs=(PASSWORD_FILE, SMARTHOST)),
        Key(
            PASSWORD_FILE,
            "File that holds the password of SMTP_USERNAME.",
            example="secrets/smtp_password",
            file=True,
            needs=(USERNAME,),
        ),
        Key(
            REQUIRE_TLS,
            "false only for a mail server on this host that has no STARTTLS.",
            "true",
            needs=(SMARTHOST,),
            check=check_boolean,
        ),
    )

    def receiver(self, value: Mapping[str, str]) -> Receiver:
        login = {"auth_username": value[USERNAME], "auth_password_file": value[PASSWORD_FILE]}
        block = {
            "to": value[TO],
            "from": value[SENDER],
            "smarthost": value[SMARTHOST],
            "require_tls": value[REQUIRE_TLS] == "true",
            "send_resolved": True,
            "headers": {"Subject": TITLE},
            "html": '{{ template "vllm.html" . }}',
            "text": TEXT,
            **(login if value[USERNAME] else {}),
        }
        return Receiver(f"mail to {value[TO]}", "email_configs", block)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.config.people import People
from deploy.errors import SettingsError

ENV = "SMTP_SMARTHOST=mail:25\nSMTP_FROM=v@b.c\nSMTP_TO=a@b.c\n"


def test_mail_is_text_and_html_and_encrypted(people_of: Callable[..., People]) -> None:
    people = people_of(ENV)
    assert people.blocks() == {
        "email_configs": [
            {
                "to": "a@b.c",
                "from": "v@b.c",
                "smarthost": "mail:25",
                "require_tls": True,
                "send_resolved": True,
                "headers": {"Subject": '{{ template "vllm.title" . }}'},
                "html": '{{ template "vllm.html" . }}',
                "text": '{{ template "vllm.text" . }}',
            }
        ]
    }
    assert people.words() == "mail to a@b.c"


def test_a_login_is_sent_where_one_is_given(people_of: Callable[..., People], tmp_path: Path) -> None:
    people = people_of(ENV + "SMTP_USERNAME=v\nSMTP_PASSWORD_FILE=password\n", password="secret\n")
    [mail] = people.blocks()["email_configs"]
    assert mail["auth_username"] == "v"
    assert mail["auth_password_file"] == str(tmp_path / "password")


def test_a_mail_server_without_starttls_can_be_used(people_of: Callable[..., People]) -> None:
    [mail] = people_of(ENV + "SMTP_REQUIRE_TLS=false\n").blocks()["email_configs"]
    assert mail["require_tls"] is False


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("SMTP_SMARTHOST=mail:25\nSMTP_TO=a@b.c\n", "line 1: SMTP_SMARTHOST is set and SMTP_FROM is not: set both"),
        ("SMTP_REQUIRE_TLS=true\n", "line 1: SMTP_REQUIRE_TLS is set and SMTP_SMARTHOST is not: set both, or neither"),
        (ENV + "SMTP_USERNAME=v\n", "line 4: SMTP_USERNAME is set and SMTP_PASSWORD_FILE is not"),
        (ENV.replace("mail:25", "mail"), "line 1: SMTP_SMARTHOST is 'mail': write host:port, for example"),
        (ENV + "SMTP_REQUIRE_TLS=no\n", "line 4: SMTP_REQUIRE_TLS is 'no': write true or false"),
    ],
)
def test_what_is_given_by_half_names_the_line_and_the_fix(
    people_of: Callable[..., People], env: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=rf"\.env {message}"):
        people_of(env)

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy.config.people import People
from deploy.errors import SettingsError


def test_alertmanager_posts_to_the_url(people_of: Callable[..., People]) -> None:
    people = people_of("ALERT_WEBHOOK_URL=https://hooks.example.org/secret\n")
    assert people.blocks() == {"webhook_configs": [{"url": "https://hooks.example.org/secret", "send_resolved": True}]}
    assert people.words() == "webhook"


@pytest.mark.parametrize("url", ["hooks.example.org/secret", "ftp://h/secret", "http:///secret", "http://[::1/secret"])
def test_what_is_no_url_is_refused_and_not_repeated(people_of: Callable[..., People], url: str) -> None:
    message = r"\.env line 1: ALERT_WEBHOOK_URL does not begin with http://host or https://host"
    with pytest.raises(SettingsError, match=message) as raised:
        people_of(f"ALERT_WEBHOOK_URL={url}\n")
    assert "secret" not in str(raised.value)


def test_a_file_keeps_the_url_out_of_the_environment(people_of: Callable[..., People]) -> None:
    people = people_of("ALERT_WEBHOOK_URL_FILE=hook\n", hook="https://ann:secret@hooks.example.org/x\n")
    url = "https://ann:secret@hooks.example.org/x"
    assert people.blocks() == {"webhook_configs": [{"url": url, "send_resolved": True}]}
    assert people.words() == "webhook"
    assert people.warnings() == ()


def test_a_file_without_a_url_is_refused_and_not_repeated(people_of: Callable[..., People]) -> None:
    with pytest.raises(
        SettingsError, match=r"\.env line 1: ALERT_WEBHOOK_URL_FILE: .*/hook does not hold a URL"
    ) as raised:
        people_of("ALERT_WEBHOOK_URL_FILE=hook\n", hook="hooks.example.org/secret\n")
    assert "secret" not in str(raised.value)


def test_two_urls_are_one_too_many(people_of: Callable[..., People]) -> None:
    with pytest.raises(SettingsError, match="ALERT_WEBHOOK_URL_FILE is set and ALERT_WEBHOOK_URL too: keep one"):
        people_of("ALERT_WEBHOOK_URL=https://a.example/\nALERT_WEBHOOK_URL_FILE=hook\n", hook="https://a.example/\n")


def test_a_password_in_the_environment_is_warned_of_and_not_repeated(people_of: Callable[..., People]) -> None:
    [warning] = people_of("ALERT_WEBHOOK_URL=https://ann:secret@hooks.example.org/x\n").warnings()
    assert "ALERT_WEBHOOK_URL holds a password" in warning
    assert "name it ALERT_WEBHOOK_URL_FILE" in warning
    assert "secret@" not in warning

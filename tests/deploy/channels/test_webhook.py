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

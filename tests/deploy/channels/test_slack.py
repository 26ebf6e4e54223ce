from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.config.people import People
from deploy.errors import SettingsError

ENV = "SLACK_WEBHOOK_URL_FILE=slack\n"


def test_alertmanager_reads_the_url_from_the_file(people_of: Callable[..., People], tmp_path: Path) -> None:
    [block] = people_of(ENV, slack="https://hooks.slack.com/services/T0/B0/secret\n").blocks()["slack_configs"]
    assert block["api_url_file"] == str(tmp_path / "slack")
    assert block["send_resolved"] is True


def test_the_url_is_told_to_nobody(people_of: Callable[..., People]) -> None:
    assert people_of(ENV, slack="https://hooks.slack.com/services/T0/B0/secret\n").words() == "Slack"


def test_a_file_that_is_not_there_names_the_line(people_of: Callable[..., People]) -> None:
    with pytest.raises(SettingsError, match=r"\.env line 1: SLACK_WEBHOOK_URL_FILE: .*/slack cannot be read"):
        people_of(ENV)


@pytest.mark.parametrize("text", ["#vllm-alerts\n", "xoxb-secret-token\n", "https://a.example.org two words\n"])
def test_a_file_without_a_url_is_refused_and_not_repeated(people_of: Callable[..., People], text: str) -> None:
    with pytest.raises(SettingsError, match=r"SLACK_WEBHOOK_URL_FILE: .*/slack does not hold a URL: write") as raised:
        people_of(ENV, slack=text)
    assert text.strip() not in str(raised.value)

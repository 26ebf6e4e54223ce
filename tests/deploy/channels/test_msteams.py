from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.config.people import People
from deploy.errors import SettingsError

ENV, URL = "MSTEAMS_WEBHOOK_URL_FILE=teams\n", "https://prod.logic.azure.example/workflows/secret\n"


def test_alertmanager_reads_the_url_from_the_file(people_of: Callable[..., People], tmp_path: Path) -> None:
    people = people_of(ENV, teams=URL)
    [block] = people.blocks()["msteamsv2_configs"]
    assert block["webhook_url_file"] == str(tmp_path / "teams")
    assert people.words() == "Microsoft Teams"


def test_an_older_alertmanager_is_refused_with_what_is_needed(people_of: Callable[..., People]) -> None:
    people = people_of(ENV, teams=URL)
    people.check_version((0, 28), "update it")
    with pytest.raises(
        SettingsError, match=r"^Microsoft Teams needs Alertmanager 0\.28, and this is 0\.25: update it$"
    ):
        people.check_version((0, 25), "update it")


def test_other_channels_need_none(people_of: Callable[..., People]) -> None:
    people_of("ALERT_WEBHOOK_URL=https://h/x\n").check_version((0, 25), "update it")


def test_a_file_without_a_url_is_refused_and_not_repeated(people_of: Callable[..., People]) -> None:
    with pytest.raises(SettingsError, match=r"MSTEAMS_WEBHOOK_URL_FILE: .*/teams does not hold a URL") as raised:
        people_of(ENV, teams="a-secret-token\n")
    assert "a-secret" not in str(raised.value)

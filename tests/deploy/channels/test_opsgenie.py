from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.config.people import People
from deploy.errors import SettingsError


def test_the_key_stays_in_its_file(people_of: Callable[..., People], tmp_path: Path) -> None:
    people = people_of("OPSGENIE_API_KEY_FILE=key\n", key="secret\n")
    [block] = people.blocks()["opsgenie_configs"]
    assert (block["api_key_file"], block["api_url"]) == (str(tmp_path / "key"), "https://api.opsgenie.com/")
    assert people.words() == "Opsgenie"
    assert "secret" not in str(people)


def test_accounts_in_the_eu_have_another_address(people_of: Callable[..., People]) -> None:
    people = people_of("OPSGENIE_API_KEY_FILE=key\nOPSGENIE_API_URL=https://api.eu.opsgenie.com/\n", key="secret\n")
    assert people.blocks()["opsgenie_configs"][0]["api_url"] == "https://api.eu.opsgenie.com/"


def test_an_address_without_a_key_names_what_is_missing(people_of: Callable[..., People]) -> None:
    with pytest.raises(SettingsError, match="OPSGENIE_API_URL is set and OPSGENIE_API_KEY_FILE is not: set both"):
        people_of("OPSGENIE_API_URL=https://api.eu.opsgenie.com/\n")

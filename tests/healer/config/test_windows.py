"""Windows of time: when they hold, for whom, and how a mistake is named."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vllm_healer.config.windows import Window, read_windows
from vllm_healer.config.yaml_lines import parse_file
from vllm_healer.errors import ConfigError


def window(text: str) -> Window:
    (found,) = read_windows(parse_file(f"- {text}\n", "healer.yml"), "maintenance")
    return found


def at(text: str) -> float:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_window_of_some_hours_on_some_days() -> None:
    """2026-12-05 is a Saturday."""
    found = window("{days: [sat, sun], hours: 08:00-18:00}")
    assert found.holds(at("2026-12-05T08:00"))
    assert found.holds(at("2026-12-06T17:59"))
    assert not found.holds(at("2026-12-05T18:00"))
    assert not found.holds(at("2026-12-05T07:59"))
    assert not found.holds(at("2026-12-07T12:00"))
    assert str(found) == "sat, sun 08:00-18:00 UTC"


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    found = window("{days: [sat], hours: 22:00-06:00}")
    assert found.holds(at("2026-12-05T23:00"))
    assert found.holds(at("2026-12-06T05:59"))
    assert not found.holds(at("2026-12-06T06:00"))
    assert not found.holds(at("2026-12-05T05:00"))
    assert not found.holds(at("2026-12-06T23:00"))


def test_over_midnight_from_sunday_to_monday() -> None:
    found = window("{days: [sun], hours: 22:00-06:00}")
    assert found.holds(at("2026-12-07T01:00"))
    assert not found.holds(at("2026-12-06T01:00"))


def test_hours_are_those_of_the_zone_in_summer_and_in_winter() -> None:
    found = window("{hours: 22:00-24:00, zone: Europe/Berlin}")
    assert found.holds(at("2026-12-05T21:30"))
    assert not found.holds(at("2026-12-05T20:30"))
    assert found.holds(at("2026-07-05T20:30"))
    assert str(found) == "daily 22:00-24:00 Europe/Berlin"


def test_a_window_that_holds_once() -> None:
    found = window("{from: 2026-12-24T18:00, to: 2026-12-26 08:00:00, zone: Europe/Berlin}")
    assert found.holds(at("2026-12-24T17:00"))
    assert not found.holds(at("2026-12-24T16:59"))
    assert found.holds(at("2026-12-26T06:59"))
    assert not found.holds(at("2026-12-26T07:00"))
    assert str(found) == "from 2026-12-24 18:00 Europe/Berlin until 2026-12-26 08:00 Europe/Berlin"


def test_a_window_without_an_end_and_one_without_a_time() -> None:
    assert window("{from: 2026-12-24T18:00}").holds(at("2036-01-01T00:00"))
    assert not window("{from: 2026-12-24T18:00}").holds(at("2026-12-24T17:00"))
    always = window("{servers: [gpu1:8000]}")
    assert (always.holds(0.0), always.holds(at("2026-12-24T18:00")), str(always)) == (True, True, "always")


def test_is_about_servers_pools_and_remediations_or_about_all() -> None:
    found = window("{servers: [gpu1:8000], pools: [chat], remediations: [restart_engine]}")
    assert found.covers("gpu1:8000", "embed", "restart_engine")
    assert found.covers("gpu2:8000", "chat", "restart_engine")
    assert not found.covers("gpu2:8000", "embed", "restart_engine")
    assert not found.covers("gpu1:8000", "chat", "reap_orphans")
    assert window("{days: [sat]}").covers("gpu9:8000", "any", "reap_orphans")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{hours: 25:00-26:00}", "hours '25:00-26:00' are none; write for example 22:00-06:00"),
        ("{hours: 22:00}", "hours '22:00' are none"),
        ("{hours: 22:00-24:30}", "hours '22:00-24:30' are none"),
        ("{days: [Saturday]}", "unknown day 'Saturday'; known: mon, tue"),
        ("{zone: Mars/Olympus}", "zone 'Mars/Olympus' is not known here; write for example Europe/Berlin"),
        ("{zone: ../../etc/passwd}", "zone '../../etc/passwd' is not known here"),
        ("{from: tomorrow}", "'tomorrow' is no time; write for example 2026-12-24T18:00"),
        ("{from: 2026-12-24T18:00, to: 2026-12-24T18:00}", "maintenance ends before it begins"),
        ("{from: 2026-12-24T18:00, days: [sat]}", "has days or hours and from or to; write two windows"),
        ("{remediations: [restart]}", "unknown remediation 'restart'; known: "),
        ("{pool: chat}", "unknown key 'pool' in maintenance; known: days, from"),
        ("always", "maintenance must be keys with values"),
    ],
)
def test_names_the_line_and_the_mistake(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        window(text)
    assert str(raised.value).startswith("healer.yml line 1: ")
    assert message in str(raised.value)

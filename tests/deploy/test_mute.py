"""Mute times, written by hand from Alertmanager's page on time intervals."""

from __future__ import annotations

import pytest

from deploy.config.dotenv import Entry
from deploy.config.mute import parse_mute
from deploy.errors import SettingsError


def intervals(times: str, zone: str = "") -> list[dict[str, object]]:
    mute = parse_mute(Entry("ALERT_MUTE_TIMES", times, ".env line 1"), None, Entry("Z", zone, "") if zone else None)
    assert mute is not None
    assert mute.severities == ("warning", "info")
    return list(mute.intervals)


def at(start: str, end: str) -> list[dict[str, str]]:
    return [{"start_time": start, "end_time": end}]


def test_nothing_is_muted_by_default() -> None:
    assert parse_mute(None, None, None) is None


def test_a_time_of_each_day() -> None:
    assert intervals("12:00-13:30") == [{"times": at("12:00", "13:30")}]


def test_a_window_over_midnight_ends_on_the_next_day() -> None:
    assert intervals("Fri,Sun 22:00-06:00") == [
        {"times": at("22:00", "24:00"), "weekdays": ["friday", "sunday"]},
        {"times": at("00:00", "06:00"), "weekdays": ["monday", "saturday"]},
    ]


def test_a_window_may_end_at_midnight() -> None:
    assert intervals("Mon 22:00-00:00") == [{"times": at("22:00", "24:00"), "weekdays": ["monday"]}]


def test_days_go_over_sunday_and_the_zone_is_said() -> None:
    assert intervals("sat-mon 00:00-24:00", "Europe/Berlin") == [
        {"times": at("00:00", "24:00"), "weekdays": ["monday", "saturday", "sunday"], "location": "Europe/Berlin"}
    ]


def test_several_windows() -> None:
    assert len(intervals("Mon-Fri 22:00-06:00; Sat,Sun 00:00-24:00;")) == 3


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("tonight", "'tonight' is no window: write days and times such as 'Mon-Fri 22:00-06:00; "),
        ("Mon 9:00-10:00", "is no window"),
        ("25:00-26:00", "is no window"),
        ("Mon 08:00-08:00", "begins when it ends: the whole day is 00:00-24:00"),
        ("Mon-Frx 08:00-09:00", "'Frx' in 'Mon-Frx 08:00-09:00' is no day: Mon, Tue"),
    ],
)
def test_what_is_no_window_names_it_and_the_fix(times: str, message: str) -> None:
    with pytest.raises(SettingsError, match=r"\.env line 1: ALERT_MUTE_TIMES: .*" + message):
        intervals(times)

"""Mute times: when people are not told of what can wait. The healer always hears, else it would heal nothing then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from deploy.config.dotenv import Entry
from deploy.config.hearing import words_of
from deploy.errors import SettingsError

NAME = "quiet"  # of the time interval in alertmanager.yml
DEFAULT_SEVERITIES = "warning,info"
_DAYS = {
    "mon": "monday",
    "tue": "tuesday",
    "wed": "wednesday",
    "thu": "thursday",
    "fri": "friday",
    "sat": "saturday",
    "sun": "sunday",
}
_WINDOW = re.compile(
    r"(?:(?P<days>[A-Za-z]{3}(?:\s*[-,]\s*[A-Za-z]{3})*)\s+)?(?P<start>\d\d:\d\d)\s*-\s*(?P<end>\d\d:\d\d)"
)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


@dataclass(frozen=True)
class Mute:
    """`intervals` as Alertmanager's `time_intervals` has them."""

    intervals: tuple[dict[str, object], ...]
    severities: tuple[str, ...]


def parse_mute(times: Entry | None, severities: Entry | None, zone: Entry | None) -> Mute | None:
    """Returns None where no time is set. Raises SettingsError that names the window."""
    if times is None:
        return None
    location = zone.value if zone else "UTC"
    intervals = tuple(
        interval
        for text in filter(None, (part.strip() for part in times.value.split(";")))
        for interval in _window(text, location, times)
    )
    return Mute(intervals, words_of(severities.value if severities else DEFAULT_SEVERITIES))


def check_zone(entry: Entry) -> None:
    try:
        ZoneInfo(entry.value)
    except (ValueError, OSError):  # a name that is none, or not on this host
        raise SettingsError(
            f"{entry.where}: {entry.key} is {entry.value!r}, no time zone: write one such as Europe/Berlin"
        ) from None


def _window(text: str, location: str, entry: Entry) -> Iterator[dict[str, object]]:
    """Yields one interval, or two for a window over midnight: Alertmanager's end on the day they begin."""
    match = _WINDOW.fullmatch(text)
    if not match or not (_TIME.fullmatch(match["start"]) and _TIME.fullmatch(match["end"])):
        raise SettingsError(
            f"{entry.where}: {entry.key}: {text!r} is no window: write days and times such as "
            "'Mon-Fri 22:00-06:00; Sat,Sun 00:00-24:00'"
        )
    days = _days(match["days"] or "", text, entry)
    start, end = match["start"], match["end"]
    if start == end:
        raise SettingsError(f"{entry.where}: {entry.key}: {text!r} begins when it ends: the whole day is 00:00-24:00")
    if start < end:
        yield _interval(start, end, days, location)
        return
    yield _interval(start, "24:00", days, location)
    if end != "00:00":
        yield _interval("00:00", end, [(day + 1) % 7 for day in days], location)


def _interval(start: str, end: str, days: list[int], location: str) -> dict[str, object]:
    names = list(_DAYS.values())
    every = {} if len(days) == len(names) else {"weekdays": [names[day] for day in sorted(days)]}
    # UTC is Alertmanager's default.
    zone = {} if location == "UTC" else {"location": location}
    return {"times": [{"start_time": start, "end_time": end}], **every, **zone}


def _days(text: str, window: str, entry: Entry) -> list[int]:
    """Returns the days as numbers from Monday on; all where none is named. `Fri-Mon` goes over Sunday."""
    if not text:
        return list(range(len(_DAYS)))
    days: set[int] = set()
    for part in text.split(","):
        first, *rest = [_day(word.strip(), window, entry) for word in part.split("-")]
        last = rest[-1] if rest else first
        days |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return sorted(days)


def _day(word: str, window: str, entry: Entry) -> int:
    if word.lower() not in _DAYS:
        raise SettingsError(
            f"{entry.where}: {entry.key}: {word!r} in {window!r} is no day: Mon, Tue, Wed, Thu, Fri, Sat, Sun"
        )
    return list(_DAYS).index(word.lower())

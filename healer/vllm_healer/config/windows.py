"""Windows of time for some servers and remediations: for maintenance, and for what a person has to approve."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from vllm_healer.config.yaml_lines import Value
from vllm_healer.errors import ConfigError
from vllm_healer.registry import remediations

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)")


@dataclass(frozen=True)
class Window:
    """Some hours of each week, or one time from and to, in which something holds for some servers and remediations.

    What is left out means all of it. Hours over midnight belong to the day on which they begin.
    """

    days: tuple[str, ...] = DAYS
    start: int = 0  # minutes of the day
    end: int = 24 * 60  # minutes of the day; at or before `start`: of the next one
    begins: float | None = None  # seconds since the epoch; it then holds once and not each week
    ends: float | None = None
    zone: str = "UTC"
    servers: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    remediations: tuple[str, ...] = ()

    def covers(self, server: str, pool: str, remediation: str) -> bool:
        """True if it is about this server and this remediation, whatever the time is."""
        about = not (self.servers or self.pools) or server in self.servers or pool in self.pools
        return about and (not self.remediations or remediation in self.remediations)

    def holds(self, wall: float) -> bool:
        """True at this moment, in seconds since the epoch."""
        if self.begins is not None or self.ends is not None:
            return (self.begins is None or self.begins <= wall) and (self.ends is None or wall < self.ends)
        local = datetime.fromtimestamp(wall, ZoneInfo(self.zone))
        minute, today = local.hour * 60 + local.minute, DAYS[local.weekday()]
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        yesterday = DAYS[local.weekday() - 1]
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)

    def __str__(self) -> str:
        if self.begins is not None or self.ends is not None:
            return " ".join(
                f"{word} {datetime.fromtimestamp(at, ZoneInfo(self.zone)):%Y-%m-%d %H:%M} {self.zone}"
                for word, at in (("from", self.begins), ("until", self.ends))
                if at is not None
            )
        days = "daily" if self.days == DAYS else ", ".join(self.days)
        if (self.start, self.end) == (0, 24 * 60):
            return "always" if self.days == DAYS else days
        return f"{days} {_clock(self.start)}-{_clock(self.end)} {self.zone}"


def read_windows(value: Value, what: str) -> tuple[Window, ...]:
    """All windows of a list. Raises ConfigError with the line."""
    return tuple(_window(item, what) for item in value.items(what))


KEYS = ("days", "hours", "from", "to", "zone", "servers", "pools", "remediations")


def _window(item: Value, what: str) -> Window:
    given = item.section(KEYS, what)
    once, weekly = (any(given[key].data is not None for key in pair) for pair in (("from", "to"), ("days", "hours")))
    if once and weekly:
        raise ConfigError(f"{item.where}: {what} has days or hours and from or to; write two windows")
    zone = _zone(given["zone"])
    start, end = _hours(given["hours"])
    begins, ends = _moment(given["from"], zone), _moment(given["to"], zone)
    if begins is not None and ends is not None and ends <= begins:
        raise ConfigError(f"{given['to'].where}: {what} ends before it begins; correct from or to")
    return Window(
        days=_days(given["days"]),
        start=start,
        end=end,
        begins=begins,
        ends=ends,
        zone=zone,
        servers=_names(given["servers"], "servers"),
        pools=_names(given["pools"], "pools"),
        remediations=_remediations(given["remediations"]),
    )


def _zone(value: Value) -> str:
    name = value.scalar("zone", "UTC")
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        example = "write for example Europe/Berlin, or UTC; the host needs the package tzdata"
        raise ConfigError(f"{value.where}: zone {name!r} is not known here; {example}") from None
    return name


def _hours(value: Value) -> tuple[int, int]:
    text = value.scalar("hours")
    if not text:
        return 0, 24 * 60
    found = HOURS.fullmatch(text)
    if found is None or (int(found[3]) == 24 and int(found[4])):
        raise ConfigError(f"{value.where}: hours {text!r} are none; write for example 22:00-06:00")
    hour, minute, until_hour, until_minute = map(int, found.groups())
    return hour * 60 + minute, until_hour * 60 + until_minute


def _moment(value: Value, zone: str) -> float | None:
    text = value.scalar("a time")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{value.where}: {text!r} is no time; write for example 2026-12-24T18:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


def _days(value: Value) -> tuple[str, ...]:
    days = _names(value, "days")
    for day in days:
        if day not in DAYS:
            raise ConfigError(f"{value.where}: unknown day {day!r}; known: {', '.join(DAYS)}")
    return days or DAYS


def _remediations(value: Value) -> tuple[str, ...]:
    names = _names(value, "remediations")
    for name in names:
        if name not in remediations():
            raise ConfigError(f"{value.where}: unknown remediation {name!r}; known: {', '.join(remediations())}")
    return names


def _names(value: Value, what: str) -> tuple[str, ...]:
    return tuple(item.scalar(what) for item in value.items(what))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"

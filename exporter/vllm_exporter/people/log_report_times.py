"""Works out when the lines of a log were written, by what they say themselves. Pure.

A line of vLLM has no year and no zone; what a shipper wrote before it may have both. A line that names no time was
written at the time of the one before it at the earliest, and that is what counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from vllm_exporter.subjects.logs.lines import LogLine
from vllm_exporter.subjects.logs.split import TIME

DAY = timedelta(days=1)  # by which the server's clock or zone may be ahead of ours
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ISO = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))? ?(Z|UTC|[+-]\d\d:?\d\d)?$")
_SYSLOG = re.compile(
    r"(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2}) ([ \d]\d) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?: (\d{4}))?$"
)
_STAMP = re.compile(r"(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)$")
_EPOCH = re.compile(r"(1\d{9})(?:\.(\d{1,9})|\d{3}|\d{6})?$")


class LogTime(NamedTuple):
    """A time that was written."""

    at: float  # seconds
    zoned: bool  # it names its zone, and `at` is of UTC
    has_year: bool = True


class LogTimes:
    """The times of one log, read from its first line to its last.

    They are seconds since 1970 in the log's own zone: UTC where it names zones. 0 is a time that is not known.
    """

    def __init__(self, latest: float) -> None:
        self._latest = datetime.fromtimestamp(latest).replace(tzinfo=UTC) + DAY
        self._zoned = False
        self._stamped = False  # lines have a time of vLLM's
        self._now = 0.0
        self._parsed: dict[bytes, LogTime | None] = {}  # many lines share a second

    def read(self, line: LogLine) -> float:
        """Returns when the line was written; the time of the line before when it does not say."""
        found = self._parse(line.written)
        if found is not None and not found.has_year and self._stamped:
            found = None  # the shipper's clock may be of another zone than vLLM's
        if line.stamp and (found is None or not found.has_year):
            found, self._stamped = self._parse(line.stamp) or found, True
        elif (
            found is None
            and (line.process or not line.stream)
            and (first := TIME.match(line.body) or TIME.match(line.body, 1))
        ):
            found = self._parse(first[0])
        if found is not None:
            self._now = found.at
            self._zoned = self._zoned or found.zoned
        return self._now

    def text(self, at: float) -> str | None:
        """Returns a time as ISO 8601, with a zone if the log names one; None when it is not known."""
        if not at:
            return None
        moment = datetime.fromtimestamp(at, UTC)
        shown = moment if self._zoned else moment.replace(tzinfo=None)
        return shown.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")

    def _parse(self, text: bytes) -> LogTime | None:
        if not text:
            return None
        if text not in self._parsed:
            if len(self._parsed) > 100:
                self._parsed.clear()
            self._parsed[text] = parse_time(text.decode("ascii", "replace"), self._latest)
        return self._parsed[text]


def parse_time(text: str, latest: datetime) -> LogTime | None:
    """Parses a time as shippers and vLLM write it; None when it has no date.

    A date without a year is in the year before `latest`.
    """
    try:
        if found := _ISO.match(text):
            *parts, part, zone = found.groups()
            return LogTime((_moment(parts, part) - _offset(zone)).timestamp(), zone is not None)
        if found := _STAMP.match(text):
            return LogTime(_newest(found.groups(), None, latest), False, False)
        if found := _SYSLOG.match(text):
            name, day, year, hour, minute, second, part, year_behind = found.groups()
            parts = [str(MONTHS.index(name) + 1), day, hour, minute, second]
            if year or year_behind:
                return LogTime(_moment([year or year_behind, *parts], part).timestamp(), False)
            return LogTime(_newest(parts, part, latest), False, False)
    except (ValueError, OverflowError):
        return None
    found = _EPOCH.match(text)
    return LogTime(float(f"{found[1]}.{found[2] or 0}"), True) if found is not None else None


def _newest(parts: Sequence[str], part: str | None, latest: datetime) -> float:
    """Returns the newest time of that date that is not after `latest`. Raises ValueError for no date of any year."""
    for year in range(latest.year, latest.year - 9, -1):  # 29 February
        try:
            at = _moment([str(year), *parts], part)
        except ValueError:
            continue
        if at <= latest:
            return at.timestamp()
    raise ValueError(f"no date: {parts}")


def _moment(parts: Sequence[str], part: str | None) -> datetime:
    """Returns the time of year, month, day, hour, minute, second, and the digits behind the second."""
    year, month, day, hour, minute, second = map(int, parts)
    at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)  # 60: a leap second
    return at + timedelta(microseconds=int((part or "0").ljust(6, "0")[:6]))


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in ("Z", "UTC"):
        return timedelta()
    digits = zone[1:].replace(":", "")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return shift if zone[0] == "+" else -shift

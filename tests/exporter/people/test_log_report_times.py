"""When the lines of a log were written."""

from __future__ import annotations

import time

import pytest

from vllm_exporter.people.log_report_times import LogTimes
from vllm_exporter.subjects.logs.lines import LogLine

LATEST = time.mktime((2026, 1, 15, 12, 0, 0, 0, 0, -1))  # the file's last line


def told(*lines: LogLine) -> list[str | None]:
    times = LogTimes(LATEST)
    return [times.text(times.read(line)) for line in lines]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        (b"2025-11-21T14:55:06Z", "2025-11-21T14:55:06+00:00"),
        (b"2025-11-21T14:55:06.123456789Z", "2025-11-21T14:55:06.123+00:00"),
        (b"2025-11-21T14:55:06+0100", "2025-11-21T13:55:06+00:00"),
        (b"2025-11-21 14:55:06,689", "2025-11-21T14:55:06.689"),
        (b"2025/11/21 14:55:06", "2025-11-21T14:55:06"),
        (b"Nov 21 14:55:06", "2025-11-21T14:55:06"),
        (b"Jan  9 14:55:06", "2026-01-09T14:55:06"),
        (b"Fri Nov 21 14:55:06 2025", "2025-11-21T14:55:06"),
        (b"1763736906", "2025-11-21T14:55:06+00:00"),
        (b"1763736906.5", "2025-11-21T14:55:06.500+00:00"),
        (b"1763736906000", "2025-11-21T14:55:06+00:00"),
        (b"14:55:06", None),
        (b"[  152.700479]", None),
        (b"Feb 30 14:55:06", None),
        (b"2025-13-45T99:99:99Z", None),
        (b"no time", None),
    ],
)
def test_reads_the_times_of_shippers(written: bytes, moment: str | None) -> None:
    assert told(LogLine(b"x", written=written)) == [moment]


def test_a_line_of_vllm_is_of_the_year_before_the_last_line() -> None:
    lines = [LogLine(b"x", stamp=stamp) for stamp in (b"12-31 23:59:59", b"01-15 11:00:00", b"01-17 00:00:00")]
    assert told(*lines) == ["2025-12-31T23:59:59", "2026-01-15T11:00:00", "2025-01-17T00:00:00"]


def test_the_29_of_february_is_of_a_leap_year() -> None:
    assert told(LogLine(b"x", stamp=b"02-29 10:00:00")) == ["2024-02-29T10:00:00"]


def test_vllms_own_time_counts_more_than_a_shippers_without_a_year_and_less_than_one_with_it() -> None:
    stamp = b"11-21 14:55:05"
    assert told(LogLine(b"x", stamp=stamp, written=b"Nov 21 14:55:06")) == ["2025-11-21T14:55:05"]
    assert told(LogLine(b"x", stamp=stamp, written=b"2025-11-21 14:55:06")) == ["2025-11-21T14:55:06"]


def test_a_line_without_a_time_was_written_after_the_line_before() -> None:
    assert told(LogLine(b"x"), LogLine(b"x", stamp=b"11-21 14:55:06"), LogLine(b"x")) == [
        *(None, "2025-11-21T14:55:06", "2025-11-21T14:55:06"),
    ]


def test_a_process_of_ray_may_have_its_time_behind_its_name() -> None:  # hiyouga/EasyR1#185
    line = LogLine(b"[2025-04-02 15:02:00,117 E 135782 135782] killed", b"raylet", stream=b"(raylet) ")
    assert told(line) == ["2025-04-02T15:02:00.117"]


def test_a_line_of_the_kernel_begins_with_its_time() -> None:
    assert told(LogLine(b"[Fri Nov 21 14:55:06 2025] NVRM: Xid"), LogLine(b"Nov 22 14:55:06 host1 kernel: x")) == [
        *("2025-11-21T14:55:06", "2025-11-22T14:55:06"),
    ]
    assert told(LogLine(b"[1124817.342119] NVRM: Xid")) == [None]

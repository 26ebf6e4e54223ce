"""The log as text: one line an event, whatever strangers put into their alerts."""

from __future__ import annotations

import logging
import sys

from vllm_healer.cli.logs import TEXT, JsonLines, TextLines

SERVER = "gpu1:8000\n2026-01-01 00:00:00 INFO vllm_healer resumed\x1b[2J"


def record(error: bool = False) -> logging.LogRecord:
    try:
        raise KeyError("a defect")
    except KeyError:
        exc_info = sys.exc_info() if error else None
    return logging.LogRecord("vllm_healer", logging.INFO, __file__, 1, "server=%s", (SERVER,), exc_info)


def test_a_line_break_in_an_alert_begins_no_line() -> None:
    for formatter in (TextLines(TEXT), JsonLines()):
        line = formatter.format(record())
        assert "\n" not in line
        assert "\x1b" not in line


def test_a_traceback_keeps_its_lines() -> None:
    first, *rest = TextLines(TEXT).format(record(error=True)).splitlines()
    assert first.endswith("server=gpu1:8000 2026-01-01 00:00:00 INFO vllm_healer resumed [2J")
    assert rest[0].startswith("Traceback")

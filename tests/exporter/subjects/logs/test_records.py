"""Records in JSON and logfmt, whatever their keys are called."""

from __future__ import annotations

import json

import pytest

from tests.exporter.subjects.logs.recorded import follow
from vllm_exporter.subjects.logs.records import parse_logfmt, parse_record

FATAL = "EngineCore encountered a fatal error."


def found(record: object) -> list[tuple[str, str]]:
    return [(one.name, one.line.level.decode()) for one in follow(json.dumps(record).encode())]


@pytest.mark.parametrize(
    "record",
    [
        {"levelname": "ERROR", "message": FATAL, "asctime": "2026-11-21 15:08:50,689"},  # vLLM's own
        {
            "created": 1663931000.385469,
            "levelname": "ERROR",
            "msg": FATAL,
            "process": 16422,
            "processName": "EngineCore",
        },
        {"severity": "ERROR", "message": FATAL, "timestamp": "2026-11-21T15:08:50.689Z"},
        {"level": "error", "msg": FATAL, "ts": 1795272530.689},
        {"@timestamp": "2026-11-21T15:08:50.689Z", "log.level": "error", "message": FATAL},
        {"log": {"level": "error"}, "message": FATAL},
        {"jsonPayload": {"message": FATAL, "level": "ERROR"}, "timestamp": "2026-11-21T15:08:50Z"},
        {"lvl": "err", "event": FATAL, "time": "15:08:50"},
        {"Level": "Error", "Message": FATAL, "Timestamp": "2026-11-21T15:08:50.0Z"},
        {"severityText": "ERROR", "body": FATAL},
        {"text": FATAL, "record": {"level": {"name": "ERROR", "no": 40}}, "severity": "ERROR"},
        {"level": "ERROR", "what": {"happened": [1], "words": FATAL}},  # no key that anybody knows
        {"severityText": "ERROR", "resource": [{"records": [{"said": {"stringValue": FATAL}}]}]},  # OpenTelemetry's
    ],
)
def test_knows_text_and_level_by_any_usual_key(record: dict[str, object]) -> None:
    assert found(record) == [("engine.fatal", "ERROR")]


@pytest.mark.parametrize(
    ("word", "level"),
    [("warn", "WARNING"), ("FATAL", "CRITICAL"), ("crit", "CRITICAL"), ("Information", "INFO"), ("x", ""), (3, "")],
)
def test_gives_levels_vllms_words(word: object, level: str) -> None:
    record = parse_record(json.dumps({"level": word, "msg": "m", "logger": "vllm"}).encode())
    assert record is not None
    assert record.level.decode() == level


def test_what_a_shipper_calls_info_may_be_an_error() -> None:
    assert found({"level": "info", "message": FATAL, "host": "gpu1"}) == [("engine.fatal", "")]


def test_a_shippers_level_is_not_the_lines() -> None:
    assert found({"severity": "ERROR", "textPayload": f"WARNING 11-21 14:55:06 [core.py:1] {FATAL}"}) == [
        ("engine.fatal", "WARNING")
    ]
    assert found({"severity": "ERROR", "textPayload": FATAL}) == [("engine.fatal", "")]
    assert found({"PRIORITY": "6", "MESSAGE": FATAL, "_PID": "7"}) == [("engine.fatal", "")]


@pytest.mark.parametrize("key", ["exc_info", "exception", "stack_trace", "error.stack_trace", "traceback"])
def test_the_traceback_of_a_record_is_one(key: str) -> None:
    trace = 'Traceback (most recent call last):\n  File "/a/core.py", line 1, in run\nValueError: x'
    (one,) = follow(json.dumps({"level": "ERROR", "message": "it failed", key: trace}).encode())
    assert (one.name, one.exception, one.frame) == ("other.exception", "ValueError", "core.py:run")


def test_records_of_two_processes_with_one_name_are_kept_apart() -> None:
    trace = ["Traceback (most recent call last):", '  File "/a/core.py", line 1, in run', "ValueError: x"]
    lines = [
        json.dumps({"msg": text, "process": pid, "processName": "Worker"}).encode() for text in trace for pid in (1, 2)
    ]
    assert [(one.line.pid, one.frame) for one in follow(*lines)] == [(1, "core.py:run"), (2, "core.py:run")]


def test_a_time_without_a_zone_is_a_stamp_and_one_with_a_zone_is_not() -> None:
    local = parse_record(b'{"message": "m", "asctime": "2026-11-21 15:08:50,689"}')
    zoned = parse_record(b'{"message": "m", "time": "2026-11-21T15:08:50Z"}')
    assert local is not None
    assert zoned is not None
    assert (local.stamp, local.written) == (b"11-21 15:08:50", b"2026-11-21 15:08:50,689")
    assert (zoned.stamp, zoned.written) == (b"", b"2026-11-21T15:08:50Z")


def test_what_vllm_says_within_a_record_counts_more_than_the_record() -> None:
    inner = f"(EngineCore_DP0 pid=7) ERROR 11-21 14:55:06 [core.py:1] {FATAL}"
    (one,) = follow(json.dumps({"log": inner, "pid": 1, "level": "info"}).encode())
    assert (one.line.process, one.line.pid, one.line.level) == (b"EngineCore_DP0", 7, b"ERROR")


def test_the_text_of_another_program_that_is_a_list_of_bytes_is_read() -> None:
    assert found({"MESSAGE": list(FATAL.encode()), "PRIORITY": "3"}) == [("engine.fatal", "")]


def test_logfmt_is_a_record_too_and_a_sentence_with_an_equals_sign_is_none() -> None:
    (one,) = follow(f'time="2026-11-21T14:55:06Z" level=error msg="{FATAL}" stream=stderr'.encode())
    assert (one.name, one.line.level, one.line.written) == ("engine.fatal", b"ERROR", b"2026-11-21T14:55:06Z")
    assert parse_logfmt(b"what a=1 is") is None


@pytest.mark.parametrize(
    "raw", [b"{", b'{"a"', b'{"a": 1}', b'{"message": null}', b'{"log": 3}', b"{}", b'{"message": ""}']
)
def test_what_says_nothing_is_no_finding(raw: bytes) -> None:
    assert follow(raw) == []


@pytest.mark.parametrize("key", ["log", "message", "body", "text", "event", "_raw", "log_message", "Body"])
def test_a_line_in_a_record_has_its_own_process_and_level_whatever_the_key(key: str) -> None:
    line = f"(EngineCore_DP1 pid=9) ERROR 11-21 14:55:07 [core.py:1138] {FATAL}"
    (one,) = follow(json.dumps({key: line, "stream": "stderr"}).encode())
    assert (one.line.process, one.line.pid, one.line.level) == (b"EngineCore_DP1", 9, b"ERROR")

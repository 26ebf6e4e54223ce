"""The parts of a line."""

from __future__ import annotations

import time

import pytest

from vllm_exporter.subjects.logs.lines import LIMIT, LogLine, parse_process, parse_stamp, uncoloured
from vllm_exporter.subjects.logs.split import LineSplitter


def split_lines(raw: bytes) -> list[LogLine]:
    return [
        line._replace(place=b"", words=b"", stream=b"", written=b"") for line in LineSplitter().split(uncoloured(raw))
    ]


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            b"(EngineCore pid=9512) INFO 11-21 14:55:06 [core.py:133] Initializing [x] y",
            LogLine(b"Initializing [x] y", b"EngineCore", 9512, b"INFO", b"11-21 14:55:06"),
        ),
        (
            b"(EngineCore pid=9512) INFO 11-21 14:55:06 [core.py:133]",
            LogLine(b"", b"EngineCore", 9512, b"INFO", b"11-21 14:55:06"),
        ),
        (
            b"ERROR 07-31 11:57:33 async_llm_engine.py:658] Engine",
            LogLine(b"Engine", b"", None, b"ERROR", b"07-31 11:57:33"),
        ),
        (
            b"(RayWorkerWrapper pid=206994, ip=192.168.10.25) ERROR 03-27 10:29:13 [worker_base.py:620]   File",
            LogLine(b"  File", b"RayWorkerWrapper", 206994, b"ERROR", b"03-27 10:29:13"),
        ),
        (
            b"(VllmWorker rank=1 pid=103080) INFO 05-28 17:47:14 [utils.py:993] x",
            LogLine(b"x", b"VllmWorker", 103080, b"INFO", b"05-28 17:47:14"),
        ),
        (
            b"\x1b[0;36m(APIServer pid=7)\x1b[0;0m \x1b[32mINFO\x1b[0m \x1b[90m11-21 14:55:06\x1b[0m "
            b"\x1b[90m[a.py:1]\x1b[0m x",
            LogLine(b"x", b"APIServer", 7, b"INFO", b"11-21 14:55:06"),
        ),
        (
            b"WARNING 05-09 00:49:33 scheduler.py:1057 Sequence group 0",
            LogLine(b"scheduler.py:1057 Sequence group 0", b"", None, b"WARNING", b"05-09 00:49:33"),
        ),
        (  # a format without a date
            b"(EngineCore) ERROR [core.py:1138] EngineCore",
            LogLine(b"EngineCore", b"EngineCore", None, b"ERROR"),
        ),
        (  # vllm-project/vllm#27194
            b"(EngineCore_DP0 pid=559) ERROR 10-20 03:20:50 [core.py:720[] EngineCore",
            LogLine(b"EngineCore", b"EngineCore_DP0", 559, b"ERROR", b"10-20 03:20:50"),
        ),
        (b"ERROR [a note] it failed", LogLine(b"ERROR [a note] it failed")),
        (b"INFO:     Application startup complete.", LogLine(b"INFO:     Application startup complete.")),
        (b"(no pid) text", LogLine(b"(no pid) text")),
        (b"INFO is a word", LogLine(b"INFO is a word")),
        (b"", LogLine(b"")),
    ],
)
def test_takes_a_line_apart(raw: bytes, line: LogLine) -> None:
    assert list(split_lines(raw)) == [line]


def test_looks_at_the_first_2048_bytes_only() -> None:
    (line,) = split_lines(b"x" * 100_000)
    assert len(line.body) == LIMIT == 2048


def test_takes_off_what_kubernetes_and_docker_put_around_a_line() -> None:
    inner = LogLine(b"x", b"EngineCore", 1, b"INFO", b"11-21 14:55:06")
    text = "(EngineCore pid=1) INFO 11-21 14:55:06 [a.py:1] x"
    assert list(split_lines(f"2026-11-21T14:55:06.123456789Z stderr F {text}".encode())) == [inner]
    assert list(split_lines(f'{{"log":"{text}\\n","stream":"stderr","time":"2026-11-21T14:55:06Z"}}'.encode())) == [
        inner
    ]


def test_a_record_in_json_becomes_the_lines_of_its_message() -> None:
    raw = (
        b'{"asctime": "2026-11-21 15:08:50,689", "levelname": "ERROR", "processName": "MainProcess", "process": 12, '
        b'"message": "first\\nsecond", "exc_info": "ValueError: x", "vllm_process_name": "EngineCore_DP1"}'
    )
    parts = (b"EngineCore_DP1", 12, b"ERROR", b"11-21 15:08:50")
    assert list(split_lines(raw)) == [
        LogLine(b"first", *parts),
        LogLine(b"second", *parts),
        LogLine(b"ValueError: x", *parts),
    ]


@pytest.mark.parametrize("raw", [b'{"log":', b'{"a": 1}', b'{"message": 3}', b'{"log": 3}'])
def test_text_that_only_looks_like_json_does_no_harm(raw: bytes) -> None:
    assert [line.body for line in split_lines(raw)] in ([], [raw])


def test_json_that_only_an_attacker_writes_does_no_harm() -> None:
    nested = b'{"a":' + b"[" * 60_000
    assert [line.body for line in split_lines(nested)] == [nested[:2048]]
    assert list(split_lines(b'{"message": "half \\ud800", "asctime": "\\ud800"}')) == [LogLine(b"half ?")]
    assert list(split_lines(b'{"log": "half \\ud800\\n"}')) == [LogLine(b"half ?")]


def test_the_name_of_a_process_is_bounded() -> None:
    raw = b'{"vllm_process_name": "' + b"x" * 50_000 + b'", "message": "m"}'
    assert list(split_lines(raw)) == [LogLine(b"m", b"x" * 64)]


def test_a_time_without_a_year_is_of_the_past_year() -> None:
    noon = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))
    assert parse_stamp(b"01-02 11:59:59", noon) == noon - 1
    assert parse_stamp(b"12-31 12:00:00", noon) == time.mktime((2025, 12, 31, 12, 0, 0, 0, 0, -1))
    assert parse_stamp(b"02-30 12:00:00", noon) is None
    assert parse_stamp(b"\xff", noon) is None


def test_knows_the_processes_by_their_names_in_the_log() -> None:
    assert parse_process(b"APIServer_1") == ("api_server", "1")
    assert parse_process(b"EngineCore_DP0") == ("engine_core", "DP0")
    assert parse_process(b"Worker_DP0_TP1") == ("worker", "DP0_TP1")
    assert parse_process(b"VllmWorker-0") == ("worker", "")
    assert parse_process(b"DPCoordinator") == ("coordinator", "")
    assert parse_process(b"somebody") == (None, "")


def test_a_line_at_info_is_quiet_and_an_error_is_not() -> None:
    (info,), (error,) = (split_lines(level + b" 11-21 14:55:06 [a.py:1] x") for level in (b"INFO", b"ERROR"))
    assert info.quiet
    assert not error.quiet

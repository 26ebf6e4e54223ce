"""Where logs are."""

from __future__ import annotations

import pytest

from vllm_exporter.subjects.logs.places import LogPlace, parse_place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("gpu1:8000=/var/log/vllm/a=b.log", LogPlace("gpu1:8000", "file", "/var/log/vllm/a=b.log")),
        ("gpu1:8000 = journald:vllm@1.service", LogPlace("gpu1:8000", "journald", "vllm@1.service")),
        ("gpu1:8000=docker:vllm-1", LogPlace("gpu1:8000", "docker", "vllm-1")),
        ("=journald:kernel", LogPlace("", "journald", "kernel")),
    ],
)
def test_reads_an_entry(text: str, place: LogPlace) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/var/log/a.log", "is no source of a log; write SERVER=WHERE, such as gpu1:8000=/var/log"),
        ("a:1=", "is no source of a log"),
        ("a:1=logs/a.log", "is no absolute path, journald:UNIT or docker:CONTAINER"),
        ("a:1=journald:", "is no absolute path"),
        ("a:1=docker:../../etc", "is no absolute path"),
        ("a:1=docker:a b", "is no absolute path"),
        ("a:1=journald:--root=/x", "is no absolute path"),
    ],
)
def test_says_what_is_wrong_with_an_entry(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_place(text)


def test_metrics_call_a_file_by_its_path_and_others_with_their_kind() -> None:
    assert LogPlace("a:1", "file", "/a.log").label == "/a.log"
    assert LogPlace("a:1", "docker", "vllm-1").label == "docker:vllm-1"

"""The event file: its lines and its size."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.exporter import told
from vllm_exporter.facts.events import COMMON, Event
from vllm_exporter.subjects.events.file import EventFile, format_event, format_time

EVENT = told.line(
    "CUDA: “lost”",
    "error",
    server="gpu1:8000",
    model_name="llama",
    time=1_795_273_440.25,
    class_="gpu.bus",
    role="worker",
    pid=7,
)


def test_a_line_has_the_fields_of_every_event_first() -> None:
    assert list(json.loads(format_event(EVENT)).items()) == [
        ("time", "2026-11-21T15:04:00.250Z"),
        ("kind", "log"),
        ("server", "gpu1:8000"),
        ("model_name", "llama"),
        ("severity", "error"),
        ("summary", "CUDA: “lost”"),
        ("class", "gpu.bus"),
        ("excerpt", ""),
        ("process", ""),
        ("role", "worker"),
        ("rank", ""),
        ("pid", 7),
        ("wrapper", False),
    ]


def test_a_field_that_a_line_may_lack_is_there_when_it_says_something() -> None:
    assert json.loads(format_event(replace(EVENT, state="engine_dead")))["state"] == "engine_dead"


def test_words_that_python_keeps_for_itself_are_plain_words_in_the_line() -> None:
    line = json.loads(format_event(told.changed("is stalled")))
    assert {name: line[name] for name in ("from", "to", "legal", "seconds")} == {
        "from": "idle",
        "to": "stalled",
        "legal": True,
        "seconds": 1.0,
    }


def test_no_field_of_a_kind_hides_one_of_every_event() -> None:
    for kind in Event.__subclasses__():
        own = {one.name.rstrip("_") for one in fields(kind)} - COMMON
        assert not own & {*COMMON, "kind"}, kind


def test_a_line_is_one_line() -> None:
    assert b"\n" not in format_event(told.line("two\nlines"))


@pytest.mark.parametrize("at", [-1.0, 1e12, float("nan"), float("inf")])
def test_a_time_that_is_none_is_the_epoch(at: float) -> None:
    assert format_time(at) == "1970-01-01T00:00:00.000Z"


def test_keeps_as_many_files_as_it_may(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "state" / "events.jsonl", max_bytes=10, keep=2)
    file.write(b"%d2345" % number for number in range(6))
    file.close()
    found = {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    assert found == {
        "events.jsonl": b"52345\n",
        "events.jsonl.1": b"42345\n",
        "events.jsonl.2": b"32345\n",
    }


def test_goes_on_in_the_file_of_the_run_before_and_ends_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"time":"20')
    file = EventFile(path, 1000, 1)
    file.write([b"next"])
    assert path.read_bytes() == b'{"time":"20\nnext\n'
    assert file.size == 17


def test_makes_the_file_again_when_somebody_removed_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path, 1000, 1)
    file.write([b"one"])
    path.unlink()
    file.write([b"two"])
    assert path.read_bytes() == b"two\n"


def test_says_when_it_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda fd, data: len(data) - 1)
    with pytest.raises(OSError, match="no space left on device"):
        EventFile(tmp_path / "events.jsonl", 1000, 1).write([b"x"])


def test_refuses_what_is_no_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="is not a regular file"):
        EventFile(pipe, 1000, 1).write((b"{}",))
    assert pipe.is_fifo()

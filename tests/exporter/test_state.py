"""Files that remember over a restart of the exporter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exporter.fakes import LogLines
from vllm_exporter.state import Content, StateFile, count, read_scope, seconds


def values(content: Content) -> list[int]:
    return [count(one) for one in content["values"]]


def state_file(directory: Path | str, log: LogLines) -> StateFile:
    return StateFile(str(directory), "subject", "what was learned", log)


def test_what_was_saved_is_loaded_again(tmp_path: Path, log_lines: LogLines) -> None:
    state_file(tmp_path / "state", log_lines).save({"values": [1, 2]})
    assert state_file(tmp_path / "state", log_lines).load(values) == [1, 2]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["subject.json"]
    assert log_lines.lines == []


def test_without_a_file_there_is_nothing_and_nothing_is_said(tmp_path: Path, log_lines: LogLines) -> None:
    assert state_file(tmp_path, log_lines).load(values) is None
    assert log_lines.lines == []


def test_without_a_state_directory_nothing_is_kept(
    tmp_path: Path, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = state_file("", log_lines)
    one.save({"values": [1]})
    assert (one.load(values), one.due(1000.0), list(tmp_path.iterdir())) == (None, False, [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "no JSON object"),
        ("{", "Expecting"),
        ("[" * 100_000, "RecursionError"),
        ('{"values": []}', "version None, expected 1"),
        ('{"version": 2, "values": []}', "version 2, expected 1"),
        ('{"version": 1}', "KeyError"),
        ('{"version": 1, "values": 7}', "TypeError"),
        ('{"version": 1, "values": [-1]}', "-1 is no count"),
        ('{"version": 1, "values": [9223372036854775808]}', "is no count"),
        ('{"version": 1, "values": [' + "9" * 5000 + "]}", "Exceeds the limit"),
    ],
)
def test_a_file_that_makes_no_sense_is_forgotten_and_said_so(
    tmp_path: Path, log_lines: LogLines, text: str, reason: str
) -> None:
    (tmp_path / "subject.json").write_text(text)
    assert state_file(tmp_path, log_lines).load(values) is None
    [(level, message, facts)] = log_lines.lines
    assert (level, message) == ("warning", "what was learned is lost: the file cannot be used")
    assert reason in str(facts["reason"])


def test_the_same_content_is_written_once(tmp_path: Path, log_lines: LogLines) -> None:
    one, path = state_file(tmp_path, log_lines), tmp_path / "subject.json"
    one.save({"values": [1]})
    path.unlink()
    one.save({"values": [1]})
    assert not path.exists()
    one.save({"values": [2]})
    assert json.loads(path.read_text()) == {"version": 1, "values": [2]}


def test_a_file_that_cannot_be_written_is_said_once_and_tried_again(tmp_path: Path, log_lines: LogLines) -> None:
    (tmp_path / "state").write_text("a file in its place")
    one = state_file(tmp_path / "state", log_lines)
    one.save({"values": [1]})
    one.save({"values": [2]})
    assert [message for _, message, _ in log_lines.lines] == ["what was learned cannot be saved"]
    (tmp_path / "state").unlink()
    one.save({"values": [2]})
    assert (tmp_path / "state/subject.json").exists()


def test_what_costs_something_to_put_together_is_due_every_ten_seconds(tmp_path: Path, log_lines: LogLines) -> None:
    one = state_file(tmp_path, log_lines)
    assert [one.due(now) for now in (1000.0, 1009.9, 1010.0, 1011.0)] == [True, False, True, False]


def test_the_scope_is_the_boot_and_the_pid_namespace(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("0a1b\n")
    assert read_scope(tmp_path) == "0a1b"
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    assert read_scope(tmp_path) == "0a1b pid:[4026531836]"


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), True, "5", None, 10**400, -(10**400)])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds(value)

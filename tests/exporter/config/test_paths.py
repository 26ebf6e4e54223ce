from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vllm_exporter.config.named_paths import Absent, NamedPath, PathKind
from vllm_exporter.config.paths import PathProblem, look_at


def look(path: Path | str, kind: PathKind = "file", absent: Absent = "forgotten") -> list[PathProblem]:
    return look_at([NamedPath("here", str(path), "put it there", kind, absent)])


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may do nothing: the tests may be run by root, who may do all."""
    monkeypatch.setattr(os, "access", lambda path, rights: False)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)


def test_says_nothing_of_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert look(tmp_path / "socket", kind="socket") == []
    assert look(file) + look(file, absent="made") + look(tmp_path, kind="directory") == []


def test_a_file_that_only_a_person_makes_is_wrong_while_it_is_not_there(tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert look(key) == [PathProblem(True, f"here: {key} does not exist; put it there")]


def test_a_file_that_something_else_makes_may_come_later(tmp_path: Path) -> None:
    log = tmp_path / "of" / "vllm.log"
    assert look(log, absent="comes_later") == [PathProblem(False, f"here: {log} does not exist yet; put it there")]


def test_nothing_has_to_be_where_the_exporter_makes_it(tmp_path: Path) -> None:
    assert look(tmp_path / "a" / "b", kind="directory", absent="made") == []
    assert look(tmp_path / "a" / "b.jsonl", absent="made") == []


def test_what_is_something_else_is_wrong_whoever_makes_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert look(tmp_path) == [PathProblem(True, f"here: {tmp_path} is not a file; correct the path")]
    assert look(file, kind="socket", absent="comes_later") == [
        PathProblem(True, f"here: {file} is not a socket; correct the path")
    ]
    assert look(file / "state", kind="directory", absent="made") == [
        PathProblem(True, f"here: {file} is not a directory; correct the path")
    ]


def test_a_path_that_can_be_none_is_wrong() -> None:
    (found,) = look("/a\0b")
    assert found == PathProblem(True, "here: '/a\\x00b' cannot be used: embedded null byte; correct the path")


@pytest.mark.usefixtures("nobody")
def test_a_right_that_the_one_who_looks_lacks_is_no_more_than_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch()
    by = "by user 4000000000; the exporter's user must be able to"
    assert look(file) == [PathProblem(False, f"here: {file} cannot be read {by}")]
    assert look(tmp_path / "x", absent="made") == [PathProblem(False, f"here: {tmp_path} cannot be written {by}")]


def test_a_path_that_is_named_twice_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = look_at([NamedPath("first", "key", "fix"), NamedPath("second", f"{tmp_path}/key", "fix")])
    assert [one.words for one in found] == [f"first: {tmp_path}/key does not exist; fix"]


def test_a_directory_that_others_may_write_and_a_secret_that_they_may_read_are_wrong(tmp_path: Path) -> None:
    state, key = tmp_path / "state", tmp_path / "key"
    state.mkdir()
    state.chmod(0o770)
    key.touch()
    key.chmod(0o644)
    (found,) = look(state, kind="directory", absent="made")
    assert found == PathProblem(
        True,
        f"here: others may write into {state} (mode 0770); run: chmod go-w {state}, or name a directory of its own",
    )
    (found,) = look_at([NamedPath("here", str(key), "fix", secret=True)])
    assert found == PathProblem(
        True,
        f"here: {key} is open to every user (mode 0644); run: chmod 600 {key} (in a container, or mount it read-only)",
    )


def test_a_directory_of_another_user_may_be_that_of_the_exporters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs the check is often root, and the exporter is not."""
    for module in ("vllm_exporter.trust", "vllm_exporter.config.paths"):
        monkeypatch.setattr(f"{module}.trusted_users", lambda: (4_000_000_000,))
    (found,) = look(tmp_path, kind="directory", absent="made")
    whose = f"belongs to user {os.geteuid()}: it is used only if the exporter runs as that user"
    assert found == PathProblem(False, f"here: {tmp_path} {whose}")


def test_the_directory_above_one_that_will_be_made_may_be_shared(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert look(tmp_path / "state", kind="directory", absent="made") == []
    assert look(tmp_path / "events.jsonl", absent="made") == []

"""Files that only root and the exporter's user can have written: another user's are refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.exporter.fakes import LogLines
from vllm_exporter import trust
from vllm_exporter.state import StateFile
from vllm_exporter.trust import (
    Untrusted,
    check_folder,
    check_secret,
    open_to_append,
    read_plain,
    read_trusted,
    replace_trusted,
)

NOBODY = 4_000_000_000


@pytest.fixture
def other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this process makes belongs to somebody else, also where root runs the tests."""
    monkeypatch.setattr(trust, "trusted_users", lambda: (NOBODY, NOBODY))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o755)
    return path


def test_what_was_written_is_read_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state" / "probe.json"
    replace_trusted(path, b"1")
    replace_trusted(path, b"22")
    assert read_trusted(path, 100) == b"22"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["probe.json"]


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_trusted(tmp_path / "probe.json", 100) is None
    assert read_trusted(tmp_path / "no" / "probe.json", 100) is None


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777])
def test_a_directory_that_others_may_write_is_refused_with_the_fix(state: Path, mode: int) -> None:
    state.chmod(mode)
    words = rf"others may write into {state} \(mode {mode:04o}\); run: chmod go-w {state}"
    with pytest.raises(Untrusted, match=words):
        check_folder(state)
    with pytest.raises(Untrusted, match=words):
        replace_trusted(state / "probe.json", b"")
    with pytest.raises(Untrusted, match=words):
        read_trusted(state / "probe.json", 1)
    assert os.listdir(state) == []


@pytest.mark.usefixtures("other_user")
def test_a_directory_of_another_user_is_refused_with_the_fix(state: Path) -> None:
    with pytest.raises(Untrusted, match=rf"belongs to user {os.geteuid()}; run: chown {os.geteuid()} {state}"):
        check_folder(state)


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602])
def test_a_file_that_others_may_write_is_refused_with_the_fix(state: Path, mode: int) -> None:
    path = state / "probe.json"
    path.write_text("{}")
    path.chmod(mode)
    with pytest.raises(Untrusted, match=rf"probe.json may be written by others \(mode {mode:04o}\); run: chmod go-w"):
        read_trusted(path, 100)


def test_a_file_that_an_earlier_release_left_to_the_group_is_read_where_nobody_else_may_enter(state: Path) -> None:
    path = state / "probe.json"
    path.write_text("{}")
    path.chmod(0o664)  # umask 002
    state.chmod(0o700)
    assert read_trusted(path, 100) == b"{}"
    path.chmod(0o666)
    with pytest.raises(Untrusted):
        read_trusted(path, 100)


def test_a_link_is_neither_read_nor_written_through(state: Path, victim: Path) -> None:
    path = state / "probe.json"
    path.symlink_to(victim)
    with pytest.raises(Untrusted, match="is a link; remove it"):
        read_trusted(path, 100)
    replace_trusted(path, b"mine")
    assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("precious", "mine", False)


def test_a_link_in_place_of_the_unfinished_file_is_not_followed(state: Path, victim: Path) -> None:
    """Its name was known before; now it is another each time."""
    (state / "probe.json.new").symlink_to(victim)
    replace_trusted(state / "probe.json", b"mine")
    assert victim.read_text() == "precious"


@pytest.mark.usefixtures("other_user")
def test_a_strangers_link_on_the_way_is_refused(tmp_path: Path, state: Path) -> None:
    (tmp_path / "way").symlink_to(state)
    with pytest.raises(Untrusted, match="way is a link of user"):
        replace_trusted(tmp_path / "way" / "probe.json", b"")
    assert os.listdir(state) == []


def test_ones_own_link_to_the_directory_is_followed(tmp_path: Path, state: Path) -> None:
    (tmp_path / "way").symlink_to(state)
    replace_trusted(tmp_path / "way" / "probe.json", b"mine")
    assert (state / "probe.json").read_bytes() == b"mine"


def test_a_pipe_is_no_file_and_does_not_make_wait(state: Path) -> None:
    os.mkfifo(state / "probe.json")
    with pytest.raises(Untrusted, match="not a regular file"):
        read_trusted(state / "probe.json", 100)
    with pytest.raises(Untrusted, match="not a regular file"):
        read_plain(state / "probe.json", 100)


def test_events_are_not_appended_through_a_link_or_to_a_file_with_another_name(state: Path, victim: Path) -> None:
    (state / "link").symlink_to(victim)
    os.link(victim, state / "hard")
    for name, words in (("link", "is a link"), ("hard", "another name")):
        with pytest.raises(Untrusted, match=words):
            open_to_append(state / name)
    assert victim.read_text() == "precious"


def test_events_may_lie_in_a_directory_of_logs_but_not_in_one_that_everybody_may_change(state: Path) -> None:
    for mode in (0o775, 0o1777):
        state.chmod(mode)
        os.close(open_to_append(state / "events.jsonl"))
    state.chmod(0o777)
    with pytest.raises(Untrusted, match="every user may write into"):
        open_to_append(state / "events.jsonl")


def test_an_untrusted_file_is_not_learned_from_and_the_log_says_the_fix(state: Path, log_lines: LogLines) -> None:
    path = state / "subject.json"
    path.write_text('{"version": 1, "values": [1]}')
    path.chmod(0o666)
    one = StateFile(str(state), "subject", "what was learned", log_lines)
    assert one.load(lambda content: content["values"]) is None
    one.save({"values": [2]})
    [(level, message, facts)] = log_lines.lines
    assert (level, message) == ("warning", "what was learned is lost: the file cannot be used")
    assert f"run: chmod go-w {path}" in str(facts["reason"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_killed_exporter_left_half_written_is_removed(state: Path, log_lines: LogLines) -> None:
    (state / "subject.json.0123456789abcdef.new").write_text("{")
    (state / "other.json.0123456789abcdef.new").write_text("{")
    StateFile(str(state), "subject", "what was learned", log_lines).load(lambda content: content)
    assert os.listdir(state) == ["other.json.0123456789abcdef.new"]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o602])
def test_a_secret_that_every_user_may_read_or_write_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text("k")
    path.chmod(mode)
    with pytest.raises(Untrusted, match=rf"{path} is open to every user \(mode {mode:04o}\); run: chmod 600 {path}"):
        check_secret(str(path))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_secret_of_the_exporter_and_its_group_is_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text("k")
    path.chmod(mode)
    check_secret(str(path))
    check_secret(str(tmp_path / "absent"))


def test_a_secret_on_a_read_only_mount_has_the_mode_that_docker_and_kubernetes_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text("k")
    path.chmod(0o444)

    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda path: ReadOnly)
    check_secret(str(path))

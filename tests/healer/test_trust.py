"""Policy and journal command the healer's rights: they are refused where others may write them."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer import trust
from vllm_healer.cli import main
from vllm_healer.errors import JournalError
from vllm_healer.journal import Journal
from vllm_healer.trust import distrust_file, trusted_users

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def policy(folder: Path, mode: int = 0o644) -> Path:
    file = folder / "healer.yml"
    file.write_text("mode: dry_run\n")
    file.chmod(mode)
    return file


def test_a_file_of_our_own_in_a_directory_of_our_own_is_trusted(tmp_path: Path) -> None:
    assert distrust_file(policy(tmp_path), trusted_users()) == ""


def test_what_is_not_there_is_for_others_to_say(tmp_path: Path) -> None:
    assert distrust_file(tmp_path / "gone" / "healer.yml", trusted_users()) == ""


def test_a_file_that_everybody_may_write_is_refused_with_the_fix(tmp_path: Path) -> None:
    file = policy(tmp_path, 0o666)
    assert distrust_file(file, trusted_users()) == f"others may write to {file} (mode 0666); run: chmod go-w {file}"


def test_a_directory_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    file = policy(tmp_path)
    tmp_path.chmod(0o777)
    words = f"others may write to {tmp_path} (mode 0777); run: chmod go-w {tmp_path}"
    assert distrust_file(file, trusted_users()) == words


@as_root
def test_in_a_sticky_directory_such_as_tmp_nobody_replaces_a_file_of_ours(tmp_path: Path) -> None:
    file = policy(tmp_path)
    tmp_path.chmod(0o1777)
    assert distrust_file(file, trusted_users()) == ""
    os.chown(tmp_path, NOBODY, NOBODY)  # its owner does
    assert distrust_file(file, trusted_users()) == f"{tmp_path} belongs to user {NOBODY}; run: chown 0 {tmp_path}"


@as_root
def test_a_file_of_another_user_is_refused_with_the_fix(tmp_path: Path) -> None:
    file = policy(tmp_path)
    os.chown(file, NOBODY, NOBODY)
    assert distrust_file(file, trusted_users()) == f"{file} belongs to user {NOBODY}; run: chown 0 {file}"


@as_root
def test_a_link_of_another_user_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    link = tmp_path / "link.yml"
    link.symlink_to(policy(tmp_path))
    os.lchown(link, NOBODY, NOBODY)
    assert distrust_file(link, trusted_users()).startswith(f"{link} is a link of user {NOBODY}")


def test_a_link_of_our_own_counts_by_what_it_leads_to_as_a_config_map_s(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    file = policy(tmp_path / "..2026")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "healer.yml").symlink_to("..data/healer.yml")
    assert distrust_file(tmp_path / "healer.yml", trusted_users()) == ""
    file.chmod(0o666)
    assert "others may write" in distrust_file(tmp_path / "healer.yml", trusted_users())


def test_nobody_writes_to_a_read_only_mount_whatever_the_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = policy(tmp_path, 0o666)
    monkeypatch.setattr(trust, "_read_only", lambda path: True)
    assert distrust_file(file, trusted_users()) == ""


def test_a_group_may_write_if_nobody_else_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A umask of 002 is usual where each user has a group of the same name."""
    file = policy(tmp_path, 0o664)
    own = pwd.getpwuid(os.geteuid())

    def group(name: str, members: list[str]) -> grp.struct_group:
        return grp.struct_group((name, "x", file.stat().st_gid, members))

    monkeypatch.setattr(pwd, "getpwuid", lambda uid: own)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group(own.pw_name, []))
    assert distrust_file(file, trusted_users()) == ""
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group(own.pw_name, ["mallory"]))
    assert "others may write" in distrust_file(file, trusted_users())
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group("users", []))
    assert "others may write" in distrust_file(file, trusted_users())


def test_a_group_that_only_we_are_in_may_write_to_a_volume_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes gives a volume to root and to fsGroup, mode 2775; `user: 1000:1000` has no name in most images."""
    file = policy(tmp_path, 0o664)
    gid, known = file.stat().st_gid, [("root", "x", 0, 4711, "", "/root", "/bin/sh")]

    def nameless(number: int) -> grp.struct_group:
        raise KeyError(number)

    monkeypatch.setattr(grp, "getgrgid", nameless)
    monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.struct_passwd(entry) for entry in known])
    monkeypatch.setattr(os, "getegid", lambda: gid)
    assert distrust_file(file, trusted_users()) == ""
    known.append(("mallory", "x", 4712, gid, "", "/", "/bin/sh"))
    assert "others may write" in distrust_file(file, trusted_users())
    known.pop()
    monkeypatch.setattr(os, "getegid", lambda: gid + 1)
    monkeypatch.setattr(os, "getgroups", list)
    assert "others may write" in distrust_file(file, trusted_users())


def test_our_own_group_may_write_to_what_belongs_to_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = policy(tmp_path, 0o664)
    users = {file.stat().st_uid: "root", 1000: "healer"}

    def user(uid: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((users[uid], "x", uid, uid or 4711, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwuid", user)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("healer", "x", 1000, [])))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    trusted = frozenset(users)
    assert distrust_file(file, trusted) == ""
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("healer", "x", 1000, ["mallory"])))
    assert "others may write" in distrust_file(file, trusted)


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_policy_that_everybody_may_write_is_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Whoever may write the policy decides what is restarted."""
    assert main([command, "--config", str(policy(tmp_path, 0o666))]) == 1
    assert "whoever may write it decides what the healer restarts" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "-wal", "-shm", ".lock"])
def test_a_journal_that_everybody_may_write_is_not_opened(tmp_path: Path, cases: ModuleType, name: str) -> None:
    """Whoever may write the journal names the processes that are killed."""
    path = tmp_path / "journal.sqlite"
    Journal.open(path, cases.Server()).close()
    file = path.with_name(f"journal.sqlite{name}")
    file.touch()
    file.chmod(0o666)
    with pytest.raises(JournalError, match=r"others may write to .*run: chmod go-w"):
        Journal.open(path, cases.Server())


def test_a_journal_in_a_directory_that_everybody_may_write_is_not_opened(tmp_path: Path, cases: ModuleType) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(JournalError, match=r"state \(mode 0777\).*a directory of the healer's own"):
        Journal.open(tmp_path / "state" / "journal.sqlite", cases.Server())


def test_a_link_in_the_place_of_a_journal_is_not_followed(tmp_path: Path, cases: ModuleType) -> None:
    (tmp_path / "journal.sqlite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="is a link, and none is followed"):
        Journal.open(tmp_path / "journal.sqlite", cases.Server())
    assert not (tmp_path / "elsewhere").exists()

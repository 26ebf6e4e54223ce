"""The throttle's file: whole or not at all, and of those who may throttle."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vllm_monitor.limits import BadThrottle, Limit
from vllm_monitor.order_file import NAME, read_order, write_order

LIMITS = (Limit(concurrency=3),)


def test_what_is_written_is_read_and_replaces_what_was(tmp_path: Path) -> None:
    assert read_order(tmp_path) is None
    first = write_order(tmp_path, LIMITS, 60.0, 503, lambda: 1000.0)
    assert read_order(tmp_path) == first
    assert (first.expires, first.status, first.limits) == (1060.0, 503, LIMITS)
    second = write_order(tmp_path, (), 0.0, 429, lambda: 1000.0)
    assert second.generation > first.generation
    assert os.listdir(tmp_path) == [NAME]


def test_a_file_that_is_broken_is_replaced_by_the_next_order(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    order = write_order(tmp_path, LIMITS, 60.0, 429)
    assert read_order(tmp_path) == order


def test_an_umask_does_not_hide_it_from_servers_of_other_users(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_order(tmp_path, LIMITS, 60.0, 429)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o644


def test_a_link_a_pipe_and_a_directory_are_not_read(tmp_path: Path) -> None:
    write_order(tmp_path, LIMITS, 60.0, 429)
    path = tmp_path / NAME
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(BadThrottle, match="cannot be read"):
        read_order(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadThrottle, match="not a regular file"):
        read_order(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadThrottle, match="not a regular file"):
        read_order(tmp_path)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_what_others_may_write_is_not_trusted(tmp_path: Path, mode: int) -> None:
    write_order(tmp_path, LIMITS, 60.0, 429)
    (tmp_path / NAME).chmod(mode)
    with pytest.raises(BadThrottle, match="others may write to it"):
        read_order(tmp_path)


def test_a_directory_where_everybody_replaces_files_is_not_trusted(tmp_path: Path) -> None:
    write_order(tmp_path, LIMITS, 60.0, 429)
    tmp_path.chmod(0o777)
    with pytest.raises(BadThrottle, match=r"chmod \+t"):
        read_order(tmp_path)
    tmp_path.chmod(0o1777)
    assert read_order(tmp_path) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")
def test_a_strangers_file_is_not_trusted_and_the_directory_owners_is(tmp_path: Path) -> None:
    write_order(tmp_path, LIMITS, 60.0, 429)
    os.chown(tmp_path / NAME, 12345, 12345)
    with pytest.raises(BadThrottle, match="belongs to user 12345"):
        read_order(tmp_path)
    os.chown(tmp_path, 12345, 12345)
    assert read_order(tmp_path) is not None


def test_a_file_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b" " * 1_000_000)
    with pytest.raises(BadThrottle, match="no JSON"):
        read_order(tmp_path)

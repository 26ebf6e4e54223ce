"""/proc/<pid>/stat as text, and files of /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.linux.files import read_file
from vllm_exporter.linux.stat import PAGE, ProcessStat, is_own_namespace, parse_exit_status, parse_stat, read_stat

# Of a real engine on Linux 6.18, and of a zombie of the same kernel that ended with exit code 3.
ENGINE = (
    b"42 (VLLM::EngineCor) D 7 1 1 0 -1 4194560 10 0 0 0 250 50 9 9 20 0 15 0 221060 1000000 500 18446744073709551615 "
    b"4194304 4198400 140720000000000 0 0 0 0 16781312 2 0 0 0 17 1 0 0 0 0 0 4202496 4203000 5000000 140720000000001 "
    b"140720000000002 140720000000003 140720000000004 0\n"
)
ZOMBIE = (
    b"12640 (python3) Z 12639 1 1 0 -1 4227148 0 0 0 0 1 0 0 0 20 0 1 0 221061 0 0 18446744073709551615 0 0 0 0 0 0 0 0"
    b" 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 768\n"
)


def test_reads_the_fields() -> None:
    assert parse_stat(ENGINE) == ProcessStat(
        Ref(42, 221060), b"VLLM::EngineCor", "D", 7, 15, 300, 500 * PAGE, kernel=False, readable=True
    )


def test_resident_memory_is_never_negative() -> None:
    assert parse_stat(ENGINE.replace(b" 500 ", b" -3 ")).resident == 0


def test_a_name_may_hold_parentheses_and_blanks() -> None:
    assert parse_stat(ENGINE.replace(b"VLLM::EngineCor", b"a) S (b")).comm == b"a) S (b"


def test_knows_a_thread_of_the_kernel_by_its_flags() -> None:
    assert parse_stat(ENGINE.replace(b"4194560", b"2129984")).kernel


def test_one_in_place_of_an_address_means_that_not_all_is_shown() -> None:
    assert not parse_stat(ENGINE.replace(b" 4194304 ", b" 1 ")).readable


@pytest.mark.parametrize("text", [b"", b"42", b"42 (x) S 1 2 3", b"x (y) S" + b" z" * 30])
def test_refuses_what_is_no_stat(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"stat|invalid literal"):
        parse_stat(text)


def test_the_exit_status_is_that_of_this_zombie_only() -> None:
    assert parse_exit_status(ZOMBIE, Ref(12640, 221061)) == 768
    assert parse_exit_status(ZOMBIE, Ref(12640, 999)) is None
    assert parse_exit_status(ENGINE, Ref(42, 221060)) is None
    assert parse_exit_status(b"", Ref(42, 221060)) is None


def test_a_process_that_is_gone_has_no_stat_and_a_strange_one_is_an_error(tmp_path: Path) -> None:
    assert read_stat(tmp_path, 42) is None
    (tmp_path / "42").mkdir()
    (tmp_path / "42/stat").write_text("nonsense")
    with pytest.raises(SourceError, match="42/stat: not a stat"):
        read_stat(tmp_path, 42)


def test_reads_a_file_up_to_a_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_file(tmp_path / "file", 4) == b"0123"
    assert read_file(tmp_path / "none", 4) is None
    assert read_file(tmp_path, 4) is None


def test_knows_whether_process_ids_are_ours(tmp_path: Path) -> None:
    assert is_own_namespace(Path("/proc"))
    assert not is_own_namespace(tmp_path)
    (tmp_path / "self").symlink_to(str(os.getpid() + 1))
    assert not is_own_namespace(tmp_path)

"""The file that keeps parentage over a restart of the exporter."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.facts.values import Ref
from vllm_exporter.state import read_scope
from vllm_exporter.subjects.processes.lineage import Record
from vllm_exporter.subjects.processes.lineage_file import Memory, parse_memory, read_memory, write_memory

ENGINE = Record(Ref(200, 2000), "engine_core", "DP0", "gpu1:8000", Ref(100, 1000))
FOUND = Record(Ref(300, 3000), "worker", "", "", None)
MEMORY = Memory({ENGINE.ref: ENGINE, FOUND.ref: FOUND}, {"gpu1:8000": ("api_server", "engine_core")})


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "state" / "processes.json"
    write_memory(file, MEMORY, "boot-1")
    assert read_memory(file, "boot-1") == MEMORY
    assert [path.name for path in file.parent.iterdir()] == ["processes.json"]


def test_after_a_reboot_only_the_servers_are_remembered(tmp_path: Path) -> None:
    file = tmp_path / "processes.json"
    write_memory(file, MEMORY, "boot-1")
    assert read_memory(file, "boot-2") == Memory({}, MEMORY.servers)


def test_without_a_file_nothing_is_remembered(tmp_path: Path) -> None:
    assert read_memory(tmp_path / "processes.json", "boot-1") == Memory()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "Expecting value"),
        (b"[]", "TypeError"),
        (b'{"version": 2}', "version 2, expected 1"),
        (b'{"version": 1, "scope": "b", "servers": {"s": ["boss"]}, "processes": []}', "unknown role 'boss'"),
        (b'{"version": 1, "scope": "b", "servers": {}, "processes": [{"pid": 1}]}', "KeyError"),
        (b'{"version": 1, "scope": "b", "servers": {}, "processes": 7}', "TypeError"),
    ],
)
def test_says_what_is_wrong_with_a_damaged_file(text: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_memory(text, "b")


def test_the_scope_is_the_boot_and_the_pid_namespace(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("0a1b\n")
    assert read_scope(tmp_path) == "0a1b"
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    assert read_scope(tmp_path) == "0a1b pid:[4026531836]"

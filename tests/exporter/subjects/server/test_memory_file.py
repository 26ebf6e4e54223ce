"""What is kept of servers over a restart of the exporter, in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.server.incarnation import Identity, Memory
from vllm_exporter.subjects.server.memory_file import read_memories, write_memories

SCOPE = "boot-1 pid:[1]"
KNOWN = {
    "gpu1:8000": Memory(Identity(1_700_000_000.25, Ref(100, 5000)), 900.5, 12.0),
    "gpu1:8001": Memory(Identity(None, Ref(200, 6000)), 800.0, 0.0),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "probe.json"


def test_what_was_written_is_read(file: Path) -> None:
    write_memories(file, SCOPE, KNOWN)
    assert read_memories(file, SCOPE, 1000.0) == KNOWN
    assert [path.name for path in file.parent.iterdir()] == ["probe.json"]


def test_without_a_file_nothing_is_known(file: Path) -> None:
    assert read_memories(file, SCOPE, 1000.0) == {}


def test_after_a_boot_nothing_is_known(file: Path) -> None:
    """The monotonic clock began anew."""
    write_memories(file, SCOPE, KNOWN)
    assert read_memories(file, "boot-2 pid:[1]", 1000.0) == {}


def test_process_ids_of_another_namespace_are_left_out(file: Path) -> None:
    write_memories(file, SCOPE, KNOWN)
    found = read_memories(file, "boot-1 pid:[2]", 1000.0)
    assert [memory.identity for memory in found.values()] == [Identity(1_700_000_000.25), Identity()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ready_at": 1001.0},  # not yet
        {"ready_at": None},
        {"ready_at": True},
        {"longest_gap": -1.0},
        {"longest_gap": float("nan")},
        {"started": "yesterday"},
        {"process": [100]},
        {"process": ["100", 5000]},
    ],
)
def test_what_makes_no_sense_is_refused(file: Path, wrong: dict[str, object]) -> None:
    write_memories(file, SCOPE, KNOWN)
    data = json.loads(file.read_text())
    data["servers"]["gpu1:8000"].update(wrong)
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"ready|time|process id"):
        read_memories(file, SCOPE, 1000.0)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "servers": {}}', '{"version": 1}'])
def test_another_file_is_refused(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ValueError, match=r"version 1|Expecting"):
        read_memories(file, SCOPE, 1000.0)


def test_a_server_that_is_none_is_refused(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({"version": 1, "scope": SCOPE, "servers": {"gpu1:8000": 5}}))
    with pytest.raises(ValueError, match="5 is no server"):
        read_memories(file, SCOPE, 1000.0)

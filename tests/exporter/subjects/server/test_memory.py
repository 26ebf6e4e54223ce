"""What the probe remembers of servers over a restart of the exporter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vllm_exporter.facts.values import Ref
from vllm_exporter.state import Content
from vllm_exporter.subjects.server.incarnation import Identity, Memory
from vllm_exporter.subjects.server.memory import ProbeMemory, format_memories, parse_memories

SCOPE = "boot-1 pid:[1]"
KNOWN = {
    "gpu1:8000": Memory(Identity(1_700_000_000.25, Ref(100, 5000)), 900.5, 12.0),
    "gpu1:8001": Memory(Identity(None, Ref(200, 6000)), 800.0, 20.0, 850.0),
}


def kept() -> Content:
    """Through JSON, as the file has it."""
    content: Content = json.loads(json.dumps(format_memories(KNOWN, SCOPE)))
    return content


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    boot = tmp_path / "proc" / "sys" / "kernel" / "random"
    boot.mkdir(parents=True)
    (boot / "boot_id").write_text("boot-1\n")
    return tmp_path / "proc"


def memory(tmp_path: Path, proc: Path) -> ProbeMemory:
    made = ProbeMemory(str(tmp_path / "state"), proc)
    made.recall(1000.0)
    return made


def test_what_was_written_is_read() -> None:
    assert parse_memories(kept(), SCOPE, 1000.0) == KNOWN


def test_after_a_boot_nothing_is_known_for_the_monotonic_clock_began_anew() -> None:
    assert parse_memories(kept(), "boot-2 pid:[1]", 1000.0) == {}


def test_process_ids_of_another_namespace_are_left_out() -> None:
    found = parse_memories(kept(), "boot-1 pid:[2]", 1000.0)
    assert [memory.identity for memory in found.values()] == [Identity(1_700_000_000.25), Identity()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ready_at": 1001.0},  # not yet
        {"ready_at": None},
        {"longest_gap": -1.0},
        {"gap_ended": "yesterday"},
        {"started": "yesterday"},
        {"process": [100]},
        {"process": ["100", 5000]},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    content = kept()
    content["servers"]["gpu1:8000"].update(wrong)
    with pytest.raises(ValueError, match=r"."):  # whatever it says of the value
        parse_memories(content, SCOPE, 1000.0)


def test_a_server_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="5 is no server"):
        parse_memories({"scope": SCOPE, "servers": {"gpu1:8000": 5}}, SCOPE, 1000.0)


def test_the_next_exporter_is_told_what_this_one_kept(tmp_path: Path, proc: Path) -> None:
    known = {"gpu1:8000": Memory(Identity(1_700_000_000.25), 900.5, 12.0)}
    memory(tmp_path, proc).keep(known)
    assert ProbeMemory(str(tmp_path / "state"), proc).recall(1010.0) == known


def test_without_a_boot_id_nothing_is_kept_for_nobody_could_tell_whose_times_these_are(tmp_path: Path) -> None:
    nameless = memory(tmp_path, tmp_path / "no-proc")
    assert not nameless.due(1000.0)
    nameless.keep(KNOWN)
    assert not (tmp_path / "state").exists()

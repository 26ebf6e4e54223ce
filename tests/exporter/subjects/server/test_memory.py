"""What the probe remembers over a restart of the exporter: when it is read and written, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.facts.facts import Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.server.incarnation import Identity, Memory
from vllm_exporter.subjects.server.memory import ProbeMemory
from vllm_exporter.subjects.server.probe_collector import first_processes

KNOWN = {"gpu1:8000": Memory(Identity(1_700_000_000.25), 900.5, 12.0)}
LATER = {"gpu1:8000": Memory(Identity(1_700_000_000.25), 900.5, 20.0)}


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


def test_the_next_exporter_is_told_what_this_one_kept(tmp_path: Path, proc: Path) -> None:
    memory(tmp_path, proc).keep(1000.0, KNOWN)
    assert ProbeMemory(str(tmp_path / "state"), proc).recall(1010.0) == KNOWN


def test_looks_for_something_new_every_10_seconds_and_writes_only_that(tmp_path: Path, proc: Path) -> None:
    made, file = memory(tmp_path, proc), tmp_path / "state" / "probe.json"
    assert made.due(1000.0)
    made.keep(1000.0, KNOWN)
    assert (made.due(1009.9), made.due(1010.0)) == (False, True)
    file.unlink()
    made.keep(1010.0, KNOWN)
    assert not file.exists()
    made.keep(1020.0, LATER)
    assert file.exists()


def test_without_a_state_directory_or_a_boot_id_nothing_is_kept(tmp_path: Path, proc: Path) -> None:
    nowhere = ProbeMemory("", proc)
    assert (nowhere.recall(1000.0), nowhere.due(1000.0)) == ({}, False)
    nameless = memory(tmp_path, tmp_path / "no-proc")
    assert not nameless.due(1000.0)
    nameless.keep(1000.0, KNOWN)
    assert not (tmp_path / "state").exists()


def test_a_spoiled_file_is_forgotten_and_said_so(
    tmp_path: Path, proc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "probe.json").write_text("{")
    made = ProbeMemory(str(tmp_path / "state"), proc)
    assert made.recall(1000.0) == {}
    assert "was forgotten" in capsys.readouterr().err
    made.keep(1000.0, KNOWN)
    assert memory(tmp_path, proc).recall(1001.0) == KNOWN


def test_a_directory_that_cannot_be_written_is_said_once(
    tmp_path: Path, proc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = memory(tmp_path, proc)
    (tmp_path / "state").write_text("a file in its place")
    made.keep(1000.0, KNOWN)
    made.keep(1010.0, LATER)
    assert capsys.readouterr().err.count("cannot be kept") == 1


def test_the_oldest_api_server_is_the_process_of_a_server() -> None:
    made = [
        VllmProcess(Ref(300, 70), "api_server", "1", "gpu1:8000", 1, "S"),
        VllmProcess(Ref(200, 60), "api_server", "0", "gpu1:8000", 1, "S"),
        VllmProcess(Ref(100, 50), "engine_core", "", "gpu1:8000", 1, "S"),
        VllmProcess(Ref(90, 40), "api_server", "", "", 1, "S"),
    ]
    assert first_processes(Trees({one.ref.pid: one for one in made})) == {"gpu1:8000": Ref(200, 60)}

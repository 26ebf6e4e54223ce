"""A command that looks reads what the service keeps, and writes nothing of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from vllm_exporter.config.config import CollectorConfig, Config
from vllm_exporter.config.yaml_lines import Value
from vllm_exporter.people.scratch_state import own_config


def test_what_the_service_keeps_is_read_from_a_copy_that_is_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text("{}")
    (tmp_path / "events.jsonl").write_text("a\n")
    with own_config(Config(state_dir=str(tmp_path))) as own:
        copy = Path(own.state_dir)
        assert copy != tmp_path
        assert {file.name for file in copy.iterdir() if file.exists()} == {"processes.json"}
        (copy / "processes.json").write_text("[]")
        (copy / "lifecycle.json").write_text("[]")
    assert not copy.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.jsonl", "processes.json"]
    assert (tmp_path / "processes.json").read_text() == "{}"


@pytest.mark.parametrize("there", [True, False])
def test_a_state_directory_that_is_not_there_is_not_made(there: bool, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with own_config(Config(state_dir=str(state) if there else "")) as own:
        assert not any(file.exists() for file in Path(own.state_dir).iterdir())
    assert not state.exists()


def test_the_file_that_keeps_it_off_the_gpus_counts_when_it_comes_later_too(tmp_path: Path) -> None:
    with own_config(Config(state_dir=str(tmp_path))) as own:
        release = Path(own.state_dir) / "gpu.release"
        assert not release.exists()
        (tmp_path / "gpu.release").touch()
        assert release.exists()
    assert (tmp_path / "gpu.release").exists()


def test_where_no_copy_can_be_made_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(**_: object) -> None:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", fail)
    with own_config(Config(state_dir=str(tmp_path))) as own:
        assert own.state_dir == ""


def test_events_are_neither_written_to_their_file_nor_pushed() -> None:
    pushes = CollectorConfig(enabled=True, options={"loki_url": Value("http://loki:3100", "line 3")})
    with own_config(Config(collectors={"events": pushes})) as own:
        assert own.collectors["events"] == CollectorConfig(enabled=True)

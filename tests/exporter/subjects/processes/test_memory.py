"""What is remembered of processes over a restart of the exporter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vllm_exporter.facts.values import Ref
from vllm_exporter.state import Content
from vllm_exporter.subjects.processes.lineage import Record
from vllm_exporter.subjects.processes.memory import KnownProcesses, ProcessMemory, format_known, parse_known

API = Record(Ref(100, 1000), "api_server", "", "gpu1:8000", None)
ENGINE = Record(Ref(200, 2000), "engine_core", "DP0", "gpu1:8000", Ref(100, 1000))
FOUND = Record(Ref(300, 3000), "worker", "", "", None)
KNOWN = KnownProcesses(
    {ENGINE.ref: ENGINE, FOUND.ref: FOUND}, {"gpu1:8000": ("api_server", "engine_core")}, {"gpu1:8000": API.ref}
)


def kept(scope: str = "boot-1") -> Content:
    """Through JSON, as the file has it."""
    content: Content = json.loads(json.dumps(format_known(KNOWN, scope)))
    return content


def memory(tmp_path: Path, scope: str = "boot-1", configured: str = "gpu1:8000") -> ProcessMemory:
    return ProcessMemory(str(tmp_path), scope, frozenset({configured}))


def test_what_was_written_is_read_again() -> None:
    assert parse_known(kept(), "boot-1") == KNOWN


def test_after_a_reboot_only_the_servers_are_remembered() -> None:
    assert parse_known(kept(), "boot-2") == KnownProcesses(servers=KNOWN.servers)


def test_the_next_exporter_knows_what_this_one_saw(tmp_path: Path) -> None:
    memory(tmp_path).renew({API.ref: API, ENGINE.ref: ENGINE})
    again = memory(tmp_path)
    assert (set(again.records), again.mains) == ({API.ref, ENGINE.ref}, {"gpu1:8000": API.ref})


def test_another_main_process_is_a_restart_and_the_first_is_none(tmp_path: Path) -> None:
    one, after = memory(tmp_path), replace(API, ref=Ref(400, 4000))
    one.renew({API.ref: API})
    one.renew({})
    assert one.restarts == {}
    one.renew({after.ref: after})
    assert one.restarts == {"gpu1:8000": 1}


def test_a_server_that_is_no_longer_configured_is_forgotten(tmp_path: Path) -> None:
    memory(tmp_path).renew({API.ref: API})
    other = memory(tmp_path, configured="gpu1:9000")
    other.renew({})
    assert other.servers == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("servers", {"s": ["boss"]}),
        ("processes", [{"pid": 1}]),
        ("processes", 7),
        ("mains", {"s": [1]}),
        ("scope", None),
    ],
)
def test_a_damaged_file_is_forgotten(
    tmp_path: Path, key: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"version": 1, **kept(), key: value}
    if value is None:
        del content[key]
    (tmp_path / "processes.json").write_text(json.dumps(content))
    assert memory(tmp_path).records == {}
    assert "the parentage of processes is lost" in capsys.readouterr().err

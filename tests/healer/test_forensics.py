"""What is kept before a restart: enough to look into it, nothing secret, and never at the action's cost."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from vllm_healer.forensics import Forensics, prune
from vllm_healer.model import Facts, Permit, ProcessRef


def permit(cases: ModuleType) -> Permit:
    return Permit(12, cases.plan(), cases.NOW)


def facts(cases: ModuleType, url: str, *tree: ProcessRef) -> Facts:
    target = replace(cases.TARGET, url=url, api_key_file="/secrets/key")
    found: Facts = cases.facts(target=target, supervisor=cases.supervisor(tree=tree))
    return found


def this_process() -> ProcessRef:
    return ProcessRef(os.getpid(), 1, "api_server", "vllm serve m --api-key 1234")


def kept(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "12.json").read_text())
    return found


def test_keeps_what_was_seen_of_the_server_and_its_processes(
    tmp_path: Path, server: Any, http: ModuleType, cases: ModuleType
) -> None:
    server.say("/metrics", http.Reply(200, b"vllm:num_requests_running 3.0\n"))
    folder = tmp_path / "evidence"
    assert Forensics(folder).keep(permit(cases), facts(cases, server.url, this_process())) == f"{folder}/12.json"
    found = kept(folder)
    assert found["plan"]["remediation"] == "restart_engine"
    assert found["facts"]["look"]["health"] == "ok"
    assert found["metrics"] == "vllm:num_requests_running 3.0\n"
    assert f"Pid:\t{os.getpid()}\n" in found["processes"][str(os.getpid())]["status"]


def test_is_for_nobody_elses_eyes_and_holds_no_command_line_and_no_environment(
    tmp_path: Path, cases: ModuleType
) -> None:
    folder = tmp_path / "evidence"
    Forensics(folder).keep(permit(cases), facts(cases, "http://127.0.0.1:9", this_process()))
    assert (folder.stat().st_mode & 0o777, (folder / "12.json").stat().st_mode & 0o777) == (0o700, 0o600)
    about = kept(folder)["processes"][str(os.getpid())]
    assert set(about) <= {"status", "wchan", "stack", "syscall", "schedstat"}
    assert "--api-key" not in (folder / "12.json").read_text()


def test_a_server_that_is_down_and_processes_that_are_gone_are_said_so(tmp_path: Path, cases: ModuleType) -> None:
    Forensics(tmp_path).keep(permit(cases), facts(cases, "http://127.0.0.1:9", ProcessRef(2**22 + 1, 1, "worker", "w")))
    assert "Connection refused" in kept(tmp_path)["metrics"]
    assert kept(tmp_path)["processes"] == {str(2**22 + 1): {}}


def test_where_nothing_can_be_written_the_action_goes_on(tmp_path: Path, cases: ModuleType) -> None:
    (tmp_path / "file").touch()
    assert Forensics(tmp_path / "file").keep(permit(cases), facts(cases, "http://127.0.0.1:9")) == ""


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, cases: ModuleType) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / "12.new").symlink_to(precious)
    (tmp_path / "12.json").symlink_to(precious)
    Forensics(tmp_path).keep(permit(cases), facts(cases, "http://127.0.0.1:9"))
    assert precious.read_text() == "kept"
    assert kept(tmp_path)["action"] == 12


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.json").write_bytes(b"x" * 100)
        os.utime(tmp_path / f"{number}.json", (number, number))
    prune(tmp_path, 250)
    assert {file.name for file in tmp_path.iterdir()} == {"3.json", "4.json"}

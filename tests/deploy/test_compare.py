"""Servers that are watched and never healed, and the reverse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.config.compare import compare_servers, list_healed
from deploy.config.render import render
from deploy.config.settings import Settings
from deploy.config.sources import Source
from deploy.config.targets import parse_targets

ROOT = Path(__file__).resolve().parents[2]

UNLISTED = (
    "watched, but not in healer.yml: {}. Failures there are only reported; "
    "to have it healed, list it under `targets` in healer.yml"
)
UNWATCHED = (
    "in healer.yml, but not watched: {}. No alert comes from there, so that nothing is ever healed; "
    "add it to VLLM_TARGETS in .env, or correct the address in healer.yml"
)


def compare(watched: list[str], healed: list[str], acts: bool = False) -> tuple[str, ...]:
    return compare_servers(watched, healed, acts, "VLLM_TARGETS in .env")


def test_nothing_is_said_when_both_lists_agree() -> None:
    assert compare(["a:1", "b:1"], ["b:1", "a:1"], acts=True) == ()


def test_each_difference_is_told_with_what_follows_and_what_to_do() -> None:
    assert compare(["a:1", "b:1"], ["b:1", "c:1"]) == (UNLISTED.format("a:1"), UNWATCHED.format("c:1"))


def test_as_shipped_nobody_expects_healing() -> None:
    assert compare(["a:1"], []) == ()


def test_a_healer_that_may_act_and_knows_no_server_is_told() -> None:
    assert compare(["a:1"], [], acts=True) == (UNLISTED.format("a:1"),)


def test_of_many_servers_the_first_are_named() -> None:
    watched = [f"gpu{number}:8000" for number in range(8)]
    [warning] = compare([*watched, "a:1"], ["a:1"])
    assert warning == (
        "watched, but not in healer.yml: gpu0:8000, gpu1:8000, gpu2:8000, gpu3:8000, gpu4:8000 and 3 more. "
        "Failures there are only reported; to have them healed, list them under `targets` in healer.yml"
    )


@pytest.mark.parametrize("targets", [None, "a:1", {"server": "a:1"}, ["a:1", {"pool": "x"}, {"server": 8000}]])
def test_what_is_no_list_of_servers_is_for_the_healer_to_refuse(targets: object) -> None:
    assert list_healed(Source(Path("healer.yml"), True, {"targets": targets}), "gpu1") == ()


def warnings_of(home: Path, targets: str, mode: str = "") -> tuple[str, ...]:
    passed = {"healer": {"VLLM_HEALER_MODE": mode}} if mode else {}
    settings = Settings(targets=parse_targets(targets, "gpu1", "VLLM_TARGETS"), passed=passed)
    return render(ROOT, home, home / "out", settings, "gpu1").computed.warnings


def test_names_are_compared_and_not_the_ways_to_write_them(tmp_path: Path) -> None:
    (tmp_path / "healer.yml").write_text("targets: [{server: '127.0.0.1:8000', actuator: dry_run}]\n")
    assert warnings_of(tmp_path, "localhost:8000") == ()
    assert warnings_of(tmp_path, "localhost:8001") == (UNLISTED.format("gpu1:8001"), UNWATCHED.format("gpu1:8000"))


def test_the_mode_of_the_settings_counts(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, "localhost:8000") == ()
    assert warnings_of(tmp_path, "localhost:8000", "act") == (UNLISTED.format("gpu1:8000"),)


def test_servers_of_exporter_yml_are_compared_too_and_added_there(tmp_path: Path) -> None:
    shutil.copy(ROOT / "exporter" / "exporter.yml", tmp_path)  # it lists localhost:8000
    (tmp_path / "healer.yml").write_text("targets: [{server: 'localhost:8000'}, {server: 'gpu2:8000'}]\n")
    [warning] = warnings_of(tmp_path, "")
    assert warning == UNWATCHED.format("gpu2:8000").replace("VLLM_TARGETS in .env", "`targets` in exporter.yml")

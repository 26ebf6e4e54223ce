"""Exporter and healer share no code: what both need is one file, kept twice, and the two are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.subjects.processes.titles import parse_title
from vllm_healer.actuators.commands import role_of

ROOT = Path(__file__).resolve().parents[2]
EXPORTER, HEALER = ROOT / "exporter" / "vllm_exporter", ROOT / "healer" / "vllm_healer"
INSIDE = ROOT / "exporter" / "vllm_monitor"


@pytest.mark.parametrize("file", ["secret_mode.py", "config/yaml_lines.py", "plugins.py"])
def test_both_copies_are_the_same(file: str) -> None:
    assert (HEALER / file).read_bytes() == (EXPORTER / file).read_bytes(), f"copy one {file} over the other"


def test_the_part_inside_judges_a_secrets_file_as_they_do() -> None:
    assert (INSIDE / "secret_mode.py").read_bytes() == (EXPORTER / "secret_mode.py").read_bytes(), "copy it"


@pytest.mark.parametrize("part", ["exporter", "healer"])
def test_each_part_carries_the_licence_into_its_wheel_and_its_image(part: str) -> None:
    assert (ROOT / part / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes(), "copy LICENSE into it"


@pytest.mark.parametrize(
    "line",
    [
        "VLLM::EngineCore_DP0",
        "VLLM::StageEngineCoreProc_DP0",
        "mine::Worker_TP1",
        "VLLM::OmniWorker_TP1",
        "vLLM-Omni::DiffusionWorker-0",
        "mine::OmniWorker_TP1",
        "VLLM::APIServer_3",
        "VLLM::DPCoordinator",
        "vllm serve m --port 8001",
        "/opt/venv/bin/vllm-0.11.2 serve m",
        "/opt/venv/bin/python3.13t -X dev -u /opt/venv/bin/vllm serve m",
        "python -W ignore -um vllm.entrypoints.openai.api_server --model m",
        "python -m vllm serve m",
        "python -m vllm_omni.entrypoints.openai.api_server",
        "python3 -m dynamo.vllm --model m",
        "python3 -m vllm_tgis_adapter",
        "python3 /src/vllm/entrypoints/openai/api_server.py",
        "python3 -c vllm serve",
        "vllm-router serve",
        "vllm bench serve",
        "vllm-healer serve",
        "uv run vllm serve m",
        "bash -c vllm",
    ],
)
def test_what_the_exporter_shows_as_vllms_is_vllms_to_the_healer(line: str) -> None:
    words = line.split()
    shown = parse_title("\0".join(words).encode()).role
    assert role_of(tuple(words)) == {None: "helper", "coordinator": "helper"}.get(shown, shown)

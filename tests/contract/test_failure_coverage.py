"""docs/failure-coverage.md has a row for each of vLLM's 43 failure modes; its alerts and tests are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.exporter.subjects.logs.recorded import meant

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "failure-coverage.md").read_text()
RULES = [
    rule
    for file in sorted((ROOT / "prometheus" / "alerts").glob("*.alerts.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES}

FAULTS = ROOT / "tests" / "chaos" / "faults"

# Recorded from runs of a real vLLM 0.32: the alert selects a class that the exporter finds in the log.
RECORDED = {
    "worker_stopped": {"VllmStepTimedOut", "VllmWorkerLate"},
    "port_taken": {"VllmPortTaken"},
    "model_missing": {"VllmModelLoadFailed"},
    "weights_cut": {"VllmModelLoadFailed"},
    "max_model_len": {"VllmConfigurationRefused"},
    "lora_missing": {"VllmLoraFailing"},
    "worker_killed": {"VllmLogCritical"},
    "engine_killed": {"VllmLogCritical"},
}

# Lines that servers of public reports printed (fixtures/log_lines.txt).
REPORTED = {"VllmStartOutOfMemory": "oom.no_kv", "VllmCollectiveFailed": "nccl.error", "VllmRayNodeLost": "ray.pg"}


def rows() -> dict[str, list[str]]:
    """The cells after the number, by number."""
    found = re.findall(r"^\| (F\d\d) \| (.+) \|$", PAGE, re.MULTILINE)
    return {number: [cell.strip() for cell in cells.split("|")] for number, cells in found}


def shown() -> Iterator[tuple[str, str, str]]:
    """Mode, fault and alert of each `one.shows(mode, alert, …)` in the faults of real servers."""
    modules = [ast.parse(file.read_text()) for file in sorted(FAULTS.glob("*.py"))]
    for fault in (one for module in modules for one in module.body if isinstance(one, ast.FunctionDef)):
        for call in ast.walk(fault):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "shows":
                mode, alert = (ast.literal_eval(argument) for argument in call.args[:2])
                yield mode, fault.name, alert


def test_every_failure_mode_has_a_row_with_its_name() -> None:
    modes = yaml.safe_load((ROOT / "prometheus" / "failure_modes.yml").read_text())
    wanted = {mode["id"]: f"`{name}`" for name, mode in modes.items() if "id" in mode}
    assert len(wanted) == 43
    assert {number: cells[0] for number, cells in rows().items()} == wanted


def test_every_alert_in_it_is_there() -> None:
    named = {name for cells in rows().values() for name in re.findall(r"\[(\w+)\]\(runbooks/", cells[1])}
    assert named <= set(EXPRESSIONS)


def test_who_is_not_seen_is_said_with_a_reason_and_the_others_have_an_alert() -> None:
    unseen = {number: cells for number, cells in rows().items() if "](runbooks/" not in cells[1]}
    assert all(len(cells[2]) > 40 for cells in unseen.values())
    assert 43 - len(unseen) >= 38


def test_every_test_that_is_named_as_a_proof_is_there() -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)", PAGE):
        assert f"def {name}(" in (ROOT / file).read_text(), (file, name)


def test_at_least_fifteen_are_proved_on_a_real_vllm_and_the_page_counts_right() -> None:
    real = [number for number, cells in rows().items() if "real vLLM" in cells[2]]
    assert len(real) >= 15
    assert f"{len(real)} are proved on a real vLLM" in " ".join(PAGE.split())


def test_each_fault_that_the_page_times_shows_that_mode_by_an_alert_of_its_row() -> None:
    known = set(shown())
    for mode, cells in rows().items():
        alerts = re.findall(r"\[(\w+)\]\(runbooks/", cells[1])
        for fault in re.findall(r"`(\w+)` \d+ s", cells[2]):
            assert any((mode, fault, alert) in known for alert in alerts), (mode, fault)


@pytest.mark.parametrize("log", RECORDED)
def test_an_alert_selects_what_a_real_run_logged(log: str) -> None:
    classes = {finding.name for finding in meant(log)}
    for alert in RECORDED[log]:
        selected = [text.replace("\\\\", "\\") for text in re.findall(r'class=~"([^"]+)"', EXPRESSIONS[alert])]
        excluded = [text.replace("\\\\", "\\") for text in re.findall(r'class!~"([^"]+)"', EXPRESSIONS[alert])]
        assert any(
            any(re.fullmatch(one, found) for one in selected)
            or (excluded and not any(re.fullmatch(one, found) for one in excluded))
            for found in classes
        ), (alert, classes)


@pytest.mark.parametrize("alert", REPORTED)
def test_an_alert_selects_what_a_server_of_a_public_report_printed(alert: str) -> None:
    text = (ROOT / "tests" / "exporter" / "fixtures" / "log_lines.txt").read_text()
    printed = set(re.findall(r"^(\S+) \w+ \| vLLM \d", text, re.MULTILINE))
    assert REPORTED[alert] in printed
    selected = [one.replace("\\\\", "\\") for one in re.findall(r'class=~"([^"]+)"', EXPRESSIONS[alert])]
    assert any(re.fullmatch(one, REPORTED[alert]) for one in selected)

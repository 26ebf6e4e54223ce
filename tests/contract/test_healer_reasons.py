"""The reasons not to act are the same in the guards, in metrics and in the documentation."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from vllm_healer.metrics import REASONS

ROOT = Path(__file__).resolve().parents[2]


def answered() -> set[str]:
    """The reasons of all refusals that the healer's code can make."""
    calls = [
        node
        for file in (ROOT / "healer" / "vllm_healer").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal"
    ]
    reasons = [ast.literal_eval(call.args[0]) for call in calls]  # fails for one that is not written out
    assert len(reasons) >= len(REASONS)
    return set(reasons)


def test_every_reason_that_a_guard_can_answer_is_published_from_the_start_and_no_other() -> None:
    assert set(REASONS) == answered()


def test_the_page_on_safety_explains_each_in_its_table() -> None:
    page = (ROOT / "docs" / "safety.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == answered()


def test_the_page_of_the_restart_explains_each_in_its_table() -> None:
    page = (ROOT / "docs" / "remediations" / "restart_engine.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == answered()

"""The stages that lead to a decision follow each other in one place, whoever asks for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HEALER = Path(__file__).resolve().parents[2] / "healer" / "vllm_healer"


def callers(function: str) -> set[str]:
    """The modules that call a function of this name."""
    return {
        str(file.relative_to(HEALER))
        for file in HEALER.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    }


@pytest.mark.parametrize("stage", ["gather", "diagnose", "choose", "guard"])
def test_a_decision_is_made_in_one_place(stage: str) -> None:
    assert callers(stage) == {"pipeline/decide.py"}


def test_whoever_acts_waits_or_simulates_asks_for_the_same_decision() -> None:
    assert callers("decide") == {"worker/advance.py", "worker/follow.py", "cli/preview.py"}

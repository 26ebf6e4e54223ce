"""docs/lifecycle.md is what the table of states says."""

from __future__ import annotations

from pathlib import Path

from scripts.lifecycle_page import PROOFS, render
from vllm_exporter.subjects.lifecycle.states import STATES

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: make docs"


def test_every_way_of_proof_is_explained() -> None:
    assert {state.proof for state in STATES} == set(PROOFS)

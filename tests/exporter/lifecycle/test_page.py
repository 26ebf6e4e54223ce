"""docs/lifecycle.md is what the table of states says."""

from __future__ import annotations

from pathlib import Path

from vllm_exporter.lifecycle.__main__ import PROOFS, render
from vllm_exporter.lifecycle.states import STATES

PAGE = Path(__file__).parents[3] / "docs" / "lifecycle.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m vllm_exporter.lifecycle > docs/lifecycle.md"


def test_every_way_of_proof_is_explained() -> None:
    assert {state.proof for state in STATES} == set(PROOFS)

"""The words of the packages: a docstring begins with a verb or its subject, a healer's type name means one thing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEALER = "healer/vllm_healer"
NO_BEGINNING = {
    *("Also", "As", "By", "For", "From", "How", "In", "None", "Of", "Only", "That", "Those", "To", "What", "When"),
    *("Where", "Whether", "Which", "Who", "Whom", "Whose", "Why", "Without"),
}


def nodes(package: str) -> Iterator[tuple[Path, ast.AST]]:
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            yield file, node


def begins_well(docstring: str) -> bool:
    words = docstring.replace(",", " ").replace(":", " ").split()
    return words[0] not in NO_BEGINNING and words[:2] != ["The", "same"]


def test_no_type_name_means_two_things() -> None:
    names = Counter(node.name for _, node in nodes(HEALER) if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("package", ["exporter/vllm_exporter", HEALER, "deploy"])
def test_docstrings_begin_with_a_verb_or_their_subject(package: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {words}"
        for file, node in nodes(package)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (words := ast.get_docstring(node)) and not begins_well(words)
    ]
    assert found == []


@pytest.mark.parametrize("words", ["Of one server.", "By pid; empty without one.", "None: gone.", "The same, anew."])
def test_what_has_no_subject_does_not_begin_well(words: str) -> None:
    assert not begins_well(words)
    assert begins_well(f"Returns it. {words}")

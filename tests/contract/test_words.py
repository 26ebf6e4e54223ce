"""The healer's words: a type name means one thing, and a docstring is a sentence with a verb or a subject."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HEALER = Path(__file__).resolve().parents[2] / "healer" / "vllm_healer"
COPIES = {"plugins.py", "yaml_lines.py"}  # the exporter's, see test_copies.py
NO_BEGINNING = {"Also", "By", "For", "In", "Of", "That", "Those", "To", "What", "Whether", "Whose", "Without"}


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for file in sorted(HEALER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            yield file, node


def test_no_type_name_means_two_things() -> None:
    names = Counter(node.name for _, node in nodes() if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


def test_docstrings_begin_with_a_verb_or_their_subject() -> None:
    found = [
        f"{file.relative_to(HEALER)}: {words}"
        for file, node in nodes()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and file.name not in COPIES
        if (words := ast.get_docstring(node)) and words.split()[0] in NO_BEGINNING
    ]
    assert found == []

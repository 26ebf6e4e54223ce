"""No type name means two things in one package: classes, and aliases of types."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def type_names(module: ast.Module) -> Iterator[str]:
    """Names of classes, and of assignments such as `Key = tuple[str, str]`."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id[:1].isupper() and not target.id.isupper():
                yield target.id


@pytest.mark.parametrize("package", ["exporter/vllm_exporter", "healer/vllm_healer", "deploy"])
def test_a_type_name_is_defined_once(package: str) -> None:
    places = defaultdict(list)
    for file in sorted((ROOT / package).rglob("*.py")):
        for name in type_names(ast.parse(file.read_text())):
            places[name].append(file.relative_to(ROOT).as_posix())
    assert {name: files for name, files in places.items() if len(files) > 1} == {}

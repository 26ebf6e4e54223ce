"""Tests do not sleep: time is a fake clock, and what other threads and processes do is waited for by `wait_for`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REAL = ("e2e", "chaos", "compose", "bench")  # folders of tests that are about real time


def sleeps() -> Iterator[tuple[str, str]]:
    """File and line of each call to time.sleep that gives no reason."""
    for file in sorted((ROOT / "tests").rglob("*.py")):
        if set(REAL) & set(file.parts) or file.name == "patience.py":
            continue
        text = file.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep":
                line = text.splitlines()[node.lineno - 1]
                if " # " not in line:
                    yield file.relative_to(ROOT).as_posix(), line.strip()


def test_whoever_sleeps_says_why() -> None:
    assert list(sleeps()) == []

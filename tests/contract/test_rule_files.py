"""The tests of rules load what they are about and what that needs, and no more: other rules cost minutes of CPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

PROMETHEUS = Path(__file__).resolve().parents[2] / "prometheus"
RULE_FILES = [*sorted(PROMETHEUS.glob("rules/*.rules.yml")), *sorted(PROMETHEUS.glob("alerts/*.alerts.yml"))]
TEST_FILES = sorted(PROMETHEUS.glob("tests/*.test.yml"))
RECORDED = re.compile(r"\b[a-z_]+:vllm_\w+:\w+\b")
OF_EVERYTHING = {"pages.test.yml"}  # a page may be about any alert


def recorded_by() -> dict[str, Path]:
    """The file of each recording rule, by the rule's name."""
    return {name: file for file in RULE_FILES for name in re.findall(r"record: (\S+)", file.read_text())}


def used_by(file: Path) -> set[Path]:
    """The files whose recording rules this one names outside its comments."""
    text = re.sub(r"(^|\s)#.*", "", file.read_text(), flags=re.MULTILINE)
    files = recorded_by()
    return {files[name] for name in RECORDED.findall(text) if name in files}


def needed_by(test: Path, loaded: set[Path]) -> set[Path]:
    """The alerts that it loads, what they and its own expressions are computed from, and what that is computed from."""
    needed = {file for file in loaded if file.parent.name == "alerts"} | used_by(test)
    while further := set().union(*map(used_by, needed)) - needed:
        needed |= further
    return needed


@pytest.mark.parametrize(
    "test", [file for file in TEST_FILES if file.name not in OF_EVERYTHING], ids=lambda file: file.name
)
def test_loads_what_it_needs_and_no_more(test: Path) -> None:
    named = yaml.safe_load(test.read_text())["rule_files"]
    loaded = {(test.parent / name).resolve() for name in named}
    needed = needed_by(test, loaded)
    wanted = [f"../{file.relative_to(PROMETHEUS)}" for file in RULE_FILES if file in needed]
    assert named == wanted, f"{test.name} needs rule_files: [{', '.join(wanted)}]"

"""A detector or a remediation is its module, its test and its page; a remediation has a line in healer.yml, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from vllm_healer import model, remediation
from vllm_healer.handle import Handle
from vllm_healer.pipeline.choose import FALLBACK
from vllm_healer.proof import Evidence, Proof
from vllm_healer.registry import detectors, remediations

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = {
    "detectors": ["What it finds", "Evidence", "When it stays quiet", "Alerts"],
    "remediations": ["What it does", "When it refuses", "How it is verified", "Lost by it"],
}
PLUGINS = {"detectors": detectors(), "remediations": remediations()}
NAMES = [(kind, name) for kind, found in PLUGINS.items() for name in found]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_has_a_page_with_the_usual_headings(kind: str, name: str) -> None:
    text = (ROOT / "docs" / kind / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS[kind]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_has_a_test_file_that_tests_it(kind: str, name: str) -> None:
    text = (ROOT / "tests" / "healer" / kind / f"test_{name}.py").read_text()
    assert f"from vllm_healer.{kind}.{name} import" in text
    assert "\ndef test_" in text


@pytest.mark.parametrize("kind", sorted(PLUGINS))
def test_every_page_and_every_test_is_a_plugins(kind: str) -> None:
    assert {page.stem for page in (ROOT / "docs" / kind).glob("*.md")} == set(PLUGINS[kind])
    tests = (ROOT / "tests" / "healer" / kind).glob("test_*.py")
    assert {test.stem.removeprefix("test_") for test in tests} == set(PLUGINS[kind])


def test_the_example_in_the_documentation_is_a_remediation() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    (code,) = re.findall(r"```python\n(class \w+\(Remediation\):.*?)```", page, re.DOTALL)
    names = {**vars(model), **vars(remediation), "Handle": Handle, "Proof": Proof, "Evidence": Evidence}
    exec(code, names)
    look = model.Look(model.Health.OK, None, None, work=(2.0,))
    assert names["Drain"]().prove(None, Evidence(None, look, None)) == Proof(missing="2 requests run")
    assert names["Drain"]().prove(None, Evidence(None, replace(look, work=(0.0,)), None)) == Proof("no request runs")


def test_no_other_module_names_a_remediation() -> None:
    """`notify_only` apart, which is planned where no other serves."""
    names = set(remediations()) - {FALLBACK}
    assert {(str(file), name) for file, text in texts() for name in names if f'"{name}"' in text} == set()


def texts() -> Iterator[tuple[Path, str]]:
    """The healer's modules outside of its plug-ins."""
    package = ROOT / "healer" / "vllm_healer"
    for file in package.rglob("*.py"):
        if file.parent.name not in PLUGINS:
            yield file.relative_to(package), file.read_text()


def test_the_shipped_policy_says_of_every_remediation_what_it_does() -> None:
    text = (ROOT / "healer" / "healer.yml").read_text()
    always = {name for name, one in remediations().items() if not one.optional}
    assert set(yaml.safe_load(text)["remediations"]) == always
    for name in remediations():
        assert re.search(rf"^  {'' if name in always else '#'}- {name} +# \w", text, re.MULTILINE), name


def test_every_cause_that_a_remediation_serves_is_one_that_is_found() -> None:
    found = set(detectors()) | {"none", "starting", "unknown"}
    assert {cause for one in remediations().values() for cause in one.causes} - found == set()


def test_no_destructive_remediation_serves_a_cause_that_its_detector_says_it_cannot_help() -> None:
    lossy = (one for one in remediations().values() if one.destructive and not one.reversible)
    served = {cause for one in lossy for cause in one.causes}
    assert {cause for cause in served if not detectors()[cause].destructive_may_help} == set()

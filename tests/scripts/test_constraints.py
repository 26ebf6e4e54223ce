"""constraints.txt of the checkout, the images and the demo: complete, with hashes, and one version of each package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILES = ("constraints.txt", "exporter/constraints.txt", "healer/constraints.txt", "deploy/demo/constraints.txt")


def locked(file: str) -> dict[str, str]:
    """Package -> version."""
    found = re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {name: version.rstrip("\\").strip() for name, version in found}


def needed(file: str) -> list[Requirement]:
    if file.endswith(".toml"):
        return [Requirement(one) for one in tomllib.loads((ROOT / file).read_text())["project"]["dependencies"]]
    lines = (ROOT / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("file", FILES)
def test_each_package_has_a_version_and_hashes(file: str) -> None:
    entries = re.split(r"\n(?=[a-z])", (ROOT / file).read_text().partition("\n")[2])
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert len(entries) == len(locked(file))


@pytest.mark.parametrize(
    ("file", "of"),
    [
        ("constraints.txt", "requirements-dev.txt"),
        ("constraints.txt", "exporter/pyproject.toml"),
        ("constraints.txt", "healer/pyproject.toml"),
        ("exporter/constraints.txt", "exporter/pyproject.toml"),
        ("healer/constraints.txt", "healer/pyproject.toml"),
    ],
)
def test_what_is_needed_is_locked_at_a_version_that_is_admitted(file: str, of: str) -> None:
    versions = locked(file)
    for requirement in needed(of):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_a_package_has_the_same_version_everywhere() -> None:
    everywhere = locked("constraints.txt")
    for file in FILES:
        assert locked(file).items() <= everywhere.items()


def test_each_image_is_built_from_hashes_alone() -> None:
    for file in ("exporter/Dockerfile", "healer/Dockerfile", "deploy/demo/Dockerfile"):
        installs = re.findall(r"\$pip install [^\n]*", (ROOT / file).read_text())
        assert len(installs) == 2
        assert "--require-hashes -r" in installs[0]
        assert "--no-deps --no-build-isolation" in installs[1]


def test_each_package_of_ours_has_its_licence_in_the_docs() -> None:
    named = set(
        re.findall(r"^\| \[([a-z0-9-]+)\]\(https://pypi.org/project/\1/\) \| \S", page("licences"), re.MULTILINE)
    )
    assert named == {name for file in FILES[1:] for name in locked(file)}


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()

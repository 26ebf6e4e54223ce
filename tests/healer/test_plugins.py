"""Plug-ins are found by their file, and a bad one is an error with names."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer.detector import Detector
from vllm_healer.errors import PluginError
from vllm_healer.plugins import load

ONE = "from vllm_healer.detector import Detector\nclass {name}(Detector):\n    pass\n"


def package(path: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> ModuleType:
    name = f"plugs_{path.name}".replace("-", "_")
    (path / name).mkdir()
    (path / name / "__init__.py").write_text("")
    for module, text in modules.items():
        (path / name / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(path))
    return importlib.import_module(name)


def test_finds_each_module_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(package(tmp_path, monkeypatch, b=ONE.format(name="Bee"), a=ONE.format(name="Ay")), Detector)
    assert [(name, cls.__name__) for name, cls in found.items()] == [("a", "Ay"), ("b", "Bee")]


def test_an_empty_package_has_no_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(package(tmp_path, monkeypatch), Detector) == {}


def test_names_both_classes_of_a_module_with_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ONE.format(name="First") + ONE.format(name="Second")
    with pytest.raises(PluginError, match=r"x: expected one subclass of Detector, found First and Second"):
        load(package(tmp_path, monkeypatch, x=both), Detector)


def test_refuses_a_module_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"x: expected one subclass of Detector, found none"):
        load(package(tmp_path, monkeypatch, x="VALUE = 1\n"), Detector)


def test_an_imported_class_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    borrowed = "from vllm_healer.detectors.overload import Overload\n" + ONE.format(name="Own")
    assert load(package(tmp_path, monkeypatch, x=borrowed), Detector)["x"].__name__ == "Own"


def test_leaves_helpers_with_an_underscore_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(package(tmp_path, monkeypatch, _helper="VALUE = 1\n"), Detector) == {}


def test_raises_what_a_module_raises_at_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load(package(tmp_path, monkeypatch, x="import no_such_module\n"), Detector)

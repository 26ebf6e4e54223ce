from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from vllm_exporter import plugins
from vllm_exporter.errors import PluginError
from vllm_exporter.run.collector import Collector

ONE = "from vllm_exporter.run.collector import Collector\nclass {name}(Collector): ...\n"


@pytest.fixture
def package(tmp_path: Path) -> Iterator[ModuleType]:
    """An empty package in `tmp_path`; tests write its modules."""
    made = ModuleType("made_by_test")
    made.__path__ = [str(tmp_path)]
    sys.modules["made_by_test"] = made
    yield made
    for name in [name for name in sys.modules if name.startswith("made_by_test")]:
        del sys.modules[name]


def test_a_modules_name_is_its_collectors_name(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(ONE.format(name="Load"))
    (tmp_path / "disk.py").write_text(ONE.format(name="Disk"))
    found = plugins.load(package, Collector)
    assert {name: cls.__name__ for name, cls in found.items()} == {"disk": "Disk", "load": "Load"}


def test_a_module_with_a_leading_underscore_is_no_collector(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "_shared.py").write_text("raise RuntimeError")
    assert plugins.load(package, Collector) == {}


def test_two_collectors_of_one_name_are_refused(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(ONE.format(name="Load"))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "load.py").write_text(ONE.format(name="Load"))
    package.__path__.append(str(tmp_path / "more"))
    with pytest.raises(PluginError, match=rf"two plug-ins are named 'load', in {tmp_path} and {tmp_path}/more"):
        plugins.load(package, Collector)


def test_two_collectors_in_one_module_are_both_named(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(ONE.format(name="Load") + "class Other(Collector): ...\n")
    with pytest.raises(PluginError, match="expected one subclass of Collector, found Load and Other"):
        plugins.load(package, Collector)


def test_a_module_without_a_collector_is_refused(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text("from vllm_exporter.run.collector import Collector\n")
    with pytest.raises(PluginError, match="found none"):
        plugins.load(package, Collector)


def test_an_import_error_is_not_swallowed(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text("import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        plugins.load(package, Collector)

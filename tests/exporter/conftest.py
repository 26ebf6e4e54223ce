"""Fixtures of the exporter's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.exporter.fakes import FakeClock, LogLines
from tests.exporter.subjects.gpu.stub import Stub, build


@pytest.fixture(autouse=True)
def own_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil reads this host's /proc again after a test that gave the exporter another."""
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/proc")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log_lines() -> LogLines:
    return LogLines()


@pytest.fixture
def fixtures() -> Path:
    return Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("old_nvml"), old=True)


@pytest.fixture
def stub(nvml_library: Path) -> Iterator[Stub]:
    """The knobs of a stand-in for NVIDIA's library."""
    made = Stub(nvml_library)
    yield made
    made.heal()


@pytest.fixture
def old_stub(old_nvml_library: Path) -> Iterator[Stub]:
    """The same as a driver of 2020 has it: functions that came later are missing."""
    made = Stub(old_nvml_library)
    yield made
    made.heal()

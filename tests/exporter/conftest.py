"""Fixtures of the exporter's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock, LogLines


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log_lines() -> LogLines:
    return LogLines()


@pytest.fixture
def fixtures() -> Path:
    return Path(__file__).parent / "fixtures"

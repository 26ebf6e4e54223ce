"""Fixtures of the tests of NVML."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exporter.subjects.gpu.nvml.rig import MakeRig, Rig
from tests.exporter.subjects.gpu.stub import Stub


@pytest.fixture
def make_rig() -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(stub: Stub, gpm: bool = True) -> Rig:
        made.append(Rig(stub, gpm))
        return made[-1]

    yield make
    for rig in made:
        rig.close()

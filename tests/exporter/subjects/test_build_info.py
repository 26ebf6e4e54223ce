from __future__ import annotations

import platform
from importlib.metadata import version

from tests.exporter.fakes import FakeClock
from vllm_exporter import __version__
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.build_info import BuildInfoCollector


def test_says_version_python_and_number_of_targets(clock: FakeClock) -> None:
    targets = (TargetConfig("a:1", "a:1"), TargetConfig("b:1", "b:1"))
    info, count = BuildInfoCollector(Context(Config(targets=targets), clock)).collect()
    assert info.values == (__version__, platform.python_version())
    assert (info.value, count.value) == (1, 2)


def test_the_version_is_that_of_the_distribution() -> None:
    assert __version__ == version("vllm-exporter")

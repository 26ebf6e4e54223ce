"""The library is loaded into other people's environments: it needs nothing there, and runs on their Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vllm_monitor

FOLDER = Path(vllm_monitor.__file__).parent
MODULES = sorted(FOLDER.rglob("*.py"))
ALLOWED = {"vllm_monitor"}
ALSO = {
    "stat_logger.py": {"vllm"},  # its base class
    "vllm_metrics.py": {"prometheus_client"},  # for those who ask for it
    "nvidia.py": {"pynvml"},  # where it is there
}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name)
def test_only_the_standard_library_is_needed(file: Path) -> None:
    assert set(imported(file)) - ALLOWED - ALSO.get(file.name, set()) <= sys.stdlib_module_names


def test_a_server_that_loads_it_loads_no_prometheus_client() -> None:
    """vLLM does so itself; another service need not."""
    code = "import sys, vllm_monitor; print('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(("own", "said"), [("NOTSET", True), ("CRITICAL", False)])
def test_warnings_are_said_whatever_level_other_libraries_give_to_the_root(own: str, said: bool) -> None:
    """model_hosting_container_standards, which vLLM 0.32 loads, sets it to ERROR."""
    code = f"""
import logging
logging.getLogger().setLevel(logging.ERROR)
logging.getLogger("vllm_monitor").setLevel(logging.{own})
import vllm_monitor.orders
vllm_monitor.orders.LOGGER.warning("throttle: off")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("throttle: off" in done.stderr) is said


def test_it_is_written_for_python_3_10() -> None:
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff), "check", "--isolated", "--target-version", "py310", "--select", "E9,F821", str(FOLDER)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout

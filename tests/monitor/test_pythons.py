"""The library on each Python that vLLM runs on, where it is installed: loaded, counting, written and read again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import vllm_monitor

EXPORTER = Path(vllm_monitor.__file__).parents[1]
CODE = """
import asyncio, importlib, pkgutil, sys, types
for name in ("vllm", "vllm.v1", "vllm.v1.metrics", "vllm.v1.metrics.loggers"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["vllm.v1.metrics.loggers"].AggregateStatLoggerBase = object

import vllm_monitor
for each in pkgutil.iter_modules(vllm_monitor.__path__):
    if each.name not in ("vllm_metrics", "offline", "__main__"):  # the first two need prometheus_client
        importlib.import_module("vllm_monitor." + each.name)
from vllm_monitor import general, place, reading, stat_logger
from vllm_monitor.process import this_process

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b'{"error": {}}'})

async def serve():
    general.load()
    logger = stat_logger.StatLogger(None, [0])
    logger.record(types.SimpleNamespace(num_running_reqs=3), None, engine_idx=0)
    async def nothing(*message): pass
    scope = {"type": "http", "path": "/v1/completions", "method": "POST", "headers": []}
    await vllm_monitor.Middleware(app)(scope, nothing, nothing)

asyncio.run(serve())
this_process().background.stop()
(snapshot,) = reading.read_all(place.directory())
found = {one.name: one.values[0] for one in snapshot.entries}
print(snapshot.role, found["vllm_engine_steps_total"], found["vllm_request_errors_total"])
"""


def find_python(version: str) -> str:
    """The interpreter of a release; of pyenv's, too. Skips where there is none."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for found in (*map(str, sorted(kept.glob(f"{version}.*/bin/python"))), shutil.which(f"python{version}")):
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    pytest.skip(f"no Python {version} here")


def run(python: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(EXPORTER), "VLLM_MONITOR_DIR": str(folder)}
    return subprocess.run([python, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_it_counts_on_each_python_of_vllm(version: str, tmp_path: Path) -> None:
    python = find_python(version)
    done = run(python, "-W", "error", "-c", CODE, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "api_server 1.0 1.0\n", "")
    done = run(python, "-m", "vllm_monitor", "free-memory", folder=tmp_path)
    assert done.returncode == 2
    assert "VLLM_MONITOR_TOKEN_FILE names no file" in done.stderr


def test_the_exporter_says_which_python_it_needs(tmp_path: Path) -> None:
    done = run(find_python("3.10"), "-m", "vllm_exporter.cli", "serve", folder=tmp_path)
    assert done.returncode == 1
    assert "vllm-exporter needs Python 3.11 or newer, and this is 3.10" in done.stderr
    assert "Traceback" not in done.stderr

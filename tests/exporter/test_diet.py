"""The daemon's memory is part of its promise: what it imports is measured in a fresh process."""

from __future__ import annotations

import subprocess
import sys

DAEMON = "from vllm_exporter import cli\ncli.load_collectors()\n"
RESIDENT = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
HEAVY = ("http.server", "http.client", "prometheus_client", "requests", "numpy", "yaml")
FOUND = f"import sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_takes_at_most_24_mib_after_import() -> None:
    kib = sorted(int(run(DAEMON + RESIDENT)) for _ in range(3))[1]
    assert kib / 1024 <= 24.0


def test_imports_nothing_heavy() -> None:
    assert run(DAEMON + FOUND).split() == []

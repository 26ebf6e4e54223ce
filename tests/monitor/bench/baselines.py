"""A counter and a histogram for each request, as other libraries count them: microseconds of CPU a request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
OPENTELEMETRY = "opentelemetry-sdk==1.45.2"  # as vLLM 0.32 installs it

# Runs in an environment of its own. CPU of the caller's thread, and of all threads with the reader that collects.
MEASURE = """
import json, time
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
meter = MeterProvider([reader]).get_meter("baseline")
requests, latency = meter.create_counter("requests"), meter.create_histogram("latency", unit="s")
def run(calls):
    thread, process = time.thread_time(), time.process_time()
    for _ in range(calls):
        requests.add(1, {"status": "success"})
        latency.record(0.2, {"server": "a"})
    thread = time.thread_time() - thread
    reader.get_metrics_data()
    return [thread / calls * 1e6, (time.process_time() - process) / calls * 1e6]
run(2000)
print(json.dumps([run(20000) for _ in range(7)]))
"""


def opentelemetry() -> list[tuple[float, float]]:
    """Returns pairs of the caller's and of all threads' µs, one a run; none where it cannot be installed."""
    venv = CHECKOUT / ".run/bench/opentelemetry"
    python = venv / "bin/python"
    if not any(venv.glob("lib/*/site-packages/opentelemetry/sdk")):
        made = subprocess.run([sys.executable, "-m", "venv", venv], capture_output=True, check=False)
        done = subprocess.run([python, "-m", "pip", "install", "-q", OPENTELEMETRY], capture_output=True, check=False)
        if made.returncode or done.returncode:
            print(f"no OpenTelemetry to compare with: pip install {OPENTELEMETRY} failed", file=sys.stderr)
            return []
    measured = subprocess.run([python, "-c", MEASURE], capture_output=True, text=True, check=True)
    return [(thread, whole) for thread, whole in json.loads(measured.stdout)]

"""kill -9 at random moments: what was acknowledged is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from vllm_healer.journal import Journal
from vllm_healer.ports import Clock

ROUNDS = 3

# Four threads record alerts and print each one's fingerprint when, and only when, it was acknowledged.
WRITER = """
import sys, threading
from pathlib import Path
from vllm_healer.clock import SystemClock
from vllm_healer.journal import Journal
from vllm_healer.model import Alert
clock = SystemClock()
journal = Journal.open(Path(sys.argv[1]), clock)
def record(thread):
    for number in range(100_000):
        name = f"{sys.argv[2]}-{thread}-{number}"
        journal.record_alerts([Alert(name, "A", True, "2023-11-14T22:13:20Z", {"alertname": "A"}, {})], clock.now())
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()
for thread in range(4):
    threading.Thread(target=record, args=(thread,)).start()
"""


def test_nothing_that_was_acknowledged_is_lost(path: Path, clock: Clock) -> None:
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        acknowledged |= write_and_kill(path, number)
    assert len(acknowledged) > ROUNDS
    journal = Journal.open(path, clock)
    assert acknowledged <= {alert.fingerprint for alert in journal.unassigned()}
    journal.close()


def write_and_kill(path: Path, number: int) -> set[str]:
    """What a writer acknowledged in a random time of up to 0.3 s after its first line."""
    command = [sys.executable, "-c", WRITER, str(path), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(random.uniform(0.0, 0.3))  # a real process is killed at a moment that nobody chose
        writer.kill()
        lines = [first, *writer.stdout]
    return {line.strip() for line in lines if line.endswith("\n")}

"""How many files a process has open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vllm_exporter.subjects.processes.open_fds import OpenFds

OPENS_TWENTY = """\
import os
opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
print(len(os.listdir("/proc/self/fd")) - 1, flush=True)  # without that of the listing itself
input()
"""


def test_counts_the_entries_and_leaves_out_who_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "42/fd").mkdir(parents=True)
    for number in "012":
        (tmp_path / "42/fd" / number).symlink_to("/dev/null")
    assert OpenFds(tmp_path).count([42, 43]) == {42: 3}


def test_counts_those_of_a_real_process() -> None:
    command = [sys.executable, "-c", OPENS_TWENTY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        expected = int(process.stdout.readline())
        found = OpenFds(Path("/proc")).count([process.pid])
        process.communicate("\n")
    assert expected > 20
    assert found == {process.pid: expected}

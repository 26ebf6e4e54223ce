"""scripts/stack.sh: whether `make up` goes on natively or takes containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One with Docker, whose programs only say that they were called."""
    for name in ("scripts", "bin", ".run", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "stack.sh", tmp_path / "scripts")
    says = {"bin/docker": "", "bin/python3": "echo containers", ".venv/bin/python": "echo natively"}
    for name, line in {**says, "scripts/install.sh": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def up(checkout: Path) -> str:
    environ = {"PATH": f"{checkout / 'bin'}:/usr/bin:/bin"}
    command = [str(checkout / "scripts" / "stack.sh"), "up"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_pid_that_another_program_has_by_now_does_not_count(checkout: Path) -> None:
    (checkout / ".run" / "supervisord.pid").write_text(f"{os.getpid()}\n")
    assert up(checkout) == "containers"


@pytest.mark.parametrize("pid", ["", "4194305", "not a pid", "../self"])
def test_a_pid_that_is_none_does_not_count(checkout: Path, pid: str) -> None:
    (checkout / ".run" / "supervisord.pid").write_text(pid)
    assert up(checkout) == "containers"


def test_what_runs_natively_goes_on_natively(checkout: Path) -> None:
    waiting = [sys.executable, "-c", "input()", "-c", str(checkout.resolve() / ".run" / "supervisord.conf")]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as supervisord:
        (checkout / ".run" / "supervisord.pid").write_text(f"{supervisord.pid}\n")
        assert up(checkout) == "natively"
        supervisord.communicate(b"\n")

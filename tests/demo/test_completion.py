"""scripts/completion.bash in a real bash."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.demo.failures import FAILURES
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")


def complete(*words: str) -> list[str]:
    """What the last word may become."""
    typed = " ".join(f"'{word}'" for word in words)
    script = f"""
        source scripts/completion.bash
        COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}
        _vllm_monitor_make
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    line = ["bash", "-c", script]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return done.stdout.split()


def test_completes_the_beginning_of_a_failure() -> None:
    assert complete("make", "demo-break", "HOW", "=", "ha") == ["hang", "hang_idle"]


def test_knows_every_failure_and_no_other() -> None:
    assert complete("make", "demo-break", "HOW", "=") == list(FAILURES)


def test_completes_what_may_follow_the_target() -> None:
    assert complete("make", "demo-break", "H") == ["HOW="]


def test_completes_targets() -> None:
    assert complete("make", "demo-s") == ["demo-story"]


def test_offers_nothing_for_a_variable_that_it_does_not_know() -> None:
    assert complete("make", "test", "ARGS", "=", "h") == []

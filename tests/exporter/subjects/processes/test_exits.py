"""Why a process ended. A wait status is the exit code times 256, or the signal, 128 added for a core dump (wait(2))."""

from __future__ import annotations

import pytest

from vllm_exporter.subjects.processes.exits import UNKNOWN_SIGNAL, ExitCode, explain


@pytest.mark.parametrize(
    ("status", "cause", "code"),
    [
        (0, "clean", 0),
        (256, "error", 1),
        (512, "error", 2),
        (15, "sigterm", -15),
        (9, "sigkill", -9),
        (11, "crash", -11),
        (0x80 | 6, "crash", -6),
        (7, "crash", -7),
        (2, "signal", -2),
        (1, "signal", -1),
        (64, "signal", -64),
        (143 * 256, "sigterm", -15),
        (137 * 256, "sigkill", -9),
        (139 * 256, "crash", -11),
        (200 * 256, "error", 200),
        (128 * 256, "error", 128),
    ],
)
def test_knows_exit_codes_signals_and_what_shells_make_of_signals(status: int, cause: str, code: int) -> None:
    found = explain(status)
    assert (found.cause, found.code) == (cause, code)


def test_says_it_in_words() -> None:
    assert explain(256).words == "exit code 1"
    assert explain(11).words == "SIGSEGV"
    assert explain(64).words == "SIGRTMAX"
    assert explain(50).words == "signal 50"


def test_only_a_sigkill_can_be_one_of_the_kernel_for_lack_of_memory() -> None:
    assert explain(9, oom=True) == ExitCode("oom_kill", -9, "SIGKILL by the kernel, which was out of memory")
    assert explain(15, oom=True).cause == "sigterm"
    assert explain(0, oom=True).cause == "clean"


def test_what_nobody_knows_is_unknown() -> None:
    assert explain(None) == ExitCode("unknown", None, "cause not known")
    assert explain(UNKNOWN_SIGNAL) == ExitCode("signal", None, "a signal")

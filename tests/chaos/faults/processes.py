"""Processes of a real vLLM that hang or die."""

from __future__ import annotations

import os
import signal

from tests.e2e.harness.proofs import WEDGE, Subject

BATCH = ("--max-num-seqs", "8")


def rank_stops(one: Subject) -> None:
    """One rank of two stops, and the other waits for it in a collective call. Later it dies."""
    one.serves("--tensor-parallel-size", "2", *BATCH)
    one.loaded(4)
    rank = one.child("VLLM::Worker_TP1")
    one.breaks()
    os.kill(rank, signal.SIGSTOP)
    one.shows("F08", "VllmEngineStalled", 90)
    one.shows("F09", "VllmWorkerLate", 180)
    os.kill(rank, signal.SIGCONT)
    one.recovers()
    one.breaks()
    os.kill(rank, signal.SIGKILL)
    one.shows("F03", "VllmProcessDied", 60)
    one.shows("F03", "VllmDown", 60)


def kernel_never_ends(one: Subject) -> None:
    """A worker computes without end, until vLLM gives the step up: here after half a minute instead of five."""
    one.serves(*BATCH, env={"PYTHONPATH": str(WEDGE), "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "30"})
    worker = one.child("VLLM::Worker")
    (one.folder / str(worker)).write_text("spin")
    one.breaks()
    os.kill(worker, signal.SIGUSR1)
    one.holds("/v1/completions", model="tiny", prompt="one", max_tokens=4)
    one.shows("F14", "VllmStepTimedOut", 90)


def killed_again_and_again(one: Subject) -> None:
    """As by a request that kills each engine it reaches; somebody starts the server anew each time."""
    one.serves(*BATCH)
    one.breaks()
    for _ in range(3):
        os.kill(one.child("VLLM::EngineCore"), signal.SIGKILL)
        one.wait_ended()
        one.comes_up(*BATCH)
    one.shows("F34", "VllmRestartsOften", 400)


def coordinator_dies(one: Subject) -> None:
    """A single API server does not notice."""
    one.serves("--data-parallel-size", "2", "--api-server-count", "1", *BATCH)
    coordinator = one.child("VLLM::DPCoordinator")
    one.breaks()
    os.kill(coordinator, signal.SIGKILL)
    one.shows("F29", "VllmCoordinatorFailing", 60)

"""Causes from sightings written by hand: one of each, and what must not be taken for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vllm_exporter.facts.values import EngineValues
from vllm_exporter.people.hang.causes import CAUSES
from vllm_exporter.people.hang.diagnose import diagnose
from vllm_exporter.people.hang.evidence import EngineLook, Gpu, HangEvidence, LifeState, ProcessSight

ENGINE = ProcessSight(11, "engine_core", state="S", cpu=0.01)
WORKER = ProcessSight(12, "worker", state="S", cpu=0.01)


def watched(first: EngineValues, last: EngineValues | None = None, seconds: float = 30.0) -> tuple[EngineLook, ...]:
    """Two readings; the second is the same unless given."""
    return EngineLook(0.0, first), EngineLook(seconds, last or first)


def seen(*samples: EngineLook, **facts: object) -> HangEvidence:
    made = HangEvidence("gpu1:8000", "ok", samples, processes=(ENGINE, WORKER))
    return replace(made, **facts)  # type: ignore[arg-type] # names and types are the test's


RUNS = EngineValues(running=8, waiting=0, kv_usage=0.4, iterations=100, preemptions=0, generation_tokens=500)
STILL = seen(*watched(RUNS), canary="timeout", canary_seconds=8.0)


def cause(evidence: HangEvidence) -> str:
    return diagnose(evidence).finding.cause


def test_a_healthy_busy_server_has_no_hang() -> None:
    after = replace(RUNS, iterations=160, generation_tokens=980, kv_usage=0.5)
    diagnosis = diagnose(seen(*watched(RUNS, after, 4.0)))
    assert (diagnosis.finding.cause, diagnosis.cause.hang) == ("no_hang", False)
    assert diagnosis.finding.evidence == ("480 tokens generated and 60 steps in 4 s", "8 requests run, 0 wait")


def test_an_idle_server_that_answers_has_no_hang() -> None:
    idle = EngineValues(0, 0, kv_usage=0.0, iterations=100)
    diagnosis = diagnose(seen(*watched(idle), canary="ok", canary_seconds=0.2))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty) == ("no_hang", "certain")
    assert diagnose(seen(*watched(idle))).finding.certainty == "likely"  # nobody asked it for a token


@pytest.mark.parametrize(("health", "expected"), [("refused", "not_running"), ("503", "engine_dead")])
def test_a_server_that_is_down_is_told_by_its_answer(health: str, expected: str) -> None:
    assert cause(seen(health=health)) == expected


def test_an_api_server_that_says_nothing_shows_its_cpu() -> None:
    api = ProcessSight(10, "api_server", state="R", cpu=0.99)
    diagnosis = diagnose(seen(health="timeout", processes=(api,)))
    assert diagnosis.finding.cause == "api_server_silent"
    assert "api server (pid 10) uses 0.99 cores" in diagnosis.finding.evidence


def test_an_api_server_that_says_nothing_is_told_by_what_was_tried() -> None:
    silent = diagnose(seen(health="timeout", health_seconds=10.0, problem="timed out"))
    assert silent.finding.evidence[:2] == ("no answer to /health in 10 s", "/metrics: timed out")
    still = diagnose(seen(*watched(RUNS), health="other"))
    assert (still.finding.cause, still.cause.hang) == ("api_server_silent", True)
    assert still.finding.evidence[:2] == ("/health gives neither 200 nor 503", "no value moved for 30 s")


def test_a_saturated_server_whose_health_comes_late_or_not_at_all_is_not_silent() -> None:
    full = replace(RUNS, running=256, waiting=400)
    samples = watched(full, replace(full, generation_tokens=9500), 4.0)
    for health, seconds, said in (
        ("ok", 7.0, "/health was answered after 7.0 s"),
        ("timeout", 10.0, "no answer to /health in 10 s"),
        ("other", 0.1, "/health gives neither 200 nor 503"),
    ):
        diagnosis = diagnose(seen(*samples, health=health, health_seconds=seconds))
        assert (diagnosis.finding.cause, diagnosis.cause.hang) == ("overload", False)
        assert diagnosis.finding.evidence[-1] == said
    assert not any("/health" in line for line in diagnose(seen(*samples, health_seconds=0.01)).finding.evidence)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (replace(RUNS, generation_tokens=900), "no_hang"),
        (replace(RUNS, kv_usage=0.5), "long_prefill"),
        (replace(RUNS, kv_usage=0.99, waiting=3, preemptions=2), "kv_overflow"),
    ],
)
def test_a_late_health_is_told_of_whatever_moves(after: EngineValues, expected: str) -> None:
    finding = diagnose(seen(*watched(RUNS, after, 4.0), health="timeout", health_seconds=10.0)).finding
    assert (finding.cause, finding.evidence[-1]) == (expected, "no answer to /health in 10 s")


def test_a_server_that_was_told_to_stop_works_and_is_said_to_end() -> None:
    drains = LifeState("draining", 5.0, "ending", "It takes no more.", "Take it out of rotation.")
    diagnosis = diagnose(seen(*watched(RUNS, replace(RUNS, generation_tokens=900), 4.0), state=drains))
    assert diagnosis.finding.cause == "no_hang"
    assert diagnosis.finding.evidence[-1] == "state seen by the exporter: draining for 5 s: It takes no more."
    assert diagnosis.advice == ("Take it out of rotation.",)
    serves = replace(drains, name="serving", kind="running")
    diagnosis = diagnose(seen(*watched(RUNS, replace(RUNS, generation_tokens=900), 4.0), state=serves))
    assert (len(diagnosis.finding.evidence), diagnosis.advice) == (2, ())


def test_a_stopped_process_goes_before_all_that_follows_from_it() -> None:
    stopped = replace(WORKER, state="T", rank="TP1")
    diagnosis = diagnose(replace(STILL, processes=(ENGINE, stopped), sleeping=True, paused=True))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty) == ("stopped_worker", "certain")
    assert diagnosis.finding.evidence == ("worker TP1 (pid 12) is in state T",)


def test_a_pause_and_sleep_are_told_apart() -> None:
    assert cause(replace(STILL, paused=True)) == "paused"
    assert cause(replace(STILL, sleeping=True)) == "sleeping"
    assert cause(replace(STILL, sleeping=True, paused=True)) == "sleeping"  # a sleeping engine is paused too


def test_a_long_prefill_moves_the_kv_cache_only() -> None:
    before = replace(RUNS, running=1, kv_usage=0.1)
    diagnosis = diagnose(seen(*watched(before, replace(before, kv_usage=0.3)), canary="timeout"))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty) == ("long_prefill", "likely")
    assert diagnosis.finding.evidence[0] == "no output in 30 s, yet the KV cache went from 10.00% to 30.00%"


def test_a_worker_that_computes_may_be_in_a_slow_step_until_the_limit() -> None:
    busy = replace(STILL, samples=watched(RUNS, seconds=10.0), processes=(ENGINE, replace(WORKER, cpu=1.0)))
    assert diagnose(busy).finding.certainty == "possible"
    assert cause(busy) == "long_prefill"
    assert cause(replace(busy, progress_age=25.0, stall_limit=30.0)) == "long_prefill"
    assert cause(replace(busy, progress_age=31.0, stall_limit=30.0)) == "engine_stuck"


def test_a_queue_behind_a_moving_engine_is_overload() -> None:
    full = replace(RUNS, running=64, waiting=136)
    after = replace(full, iterations=200, generation_tokens=7000, waiting=120)
    diagnosis = diagnose(seen(*watched(full, after, 4.0)))
    assert (diagnosis.finding.cause, diagnosis.cause.hang) == ("overload", False)
    assert diagnosis.finding.evidence[0] == "at least 120 requests wait while 64 run"


def test_a_queue_that_was_worked_off_meanwhile_is_none() -> None:
    full = replace(RUNS, running=64, waiting=136)
    samples = [
        EngineLook(at / 2, replace(full, waiting=max(5, 136 - 30 * at), generation_tokens=500 + 90 * at))
        for at in range(9)
    ]
    assert cause(seen(*samples)) == "no_hang"


def test_a_queue_that_dips_when_a_batch_ends_is_overload_all_the_same() -> None:
    waiting = (48, 48, 2, 48, 47, 48, 48, 48)
    samples = [
        EngineLook(at / 2, replace(RUNS, running=16, waiting=queue, generation_tokens=500 + 90 * at))
        for at, queue in enumerate(waiting)
    ]
    assert cause(seen(*samples)) == "overload"


def test_a_full_kv_cache_that_somebody_suffers_from_is_an_overflow() -> None:
    full = replace(RUNS, kv_usage=0.99, waiting=40)
    after = replace(full, iterations=130, generation_tokens=600, preemptions=7)
    diagnosis = diagnose(seen(*watched(full, after)))
    assert diagnosis.finding.cause == "kv_overflow"
    assert diagnosis.finding.evidence == ("KV cache 99% full", "40 requests wait, 7 preempted in 30 s")
    nobody = replace(RUNS, kv_usage=0.99)
    assert cause(seen(*watched(nobody, replace(nobody, iterations=130, generation_tokens=600)))) == "no_hang"


def test_exhausted_gpu_memory_is_told_by_the_log_or_by_the_gpu() -> None:
    line = "(Worker pid=12) ERROR torch.OutOfMemoryError: CUDA out of memory."
    diagnosis = diagnose(replace(STILL, log=(line,)))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty) == ("gpu_memory_exhausted", "likely")
    assert line in diagnosis.finding.evidence
    diagnosis = diagnose(replace(STILL, gpus=(Gpu("0", 0.0, 0.995),)))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty) == ("gpu_memory_exhausted", "possible")


def test_a_gpu_as_full_as_vllm_makes_it_is_not_exhausted() -> None:
    assert cause(replace(STILL, gpus=(Gpu("0", 0.0, 0.93),))) == "engine_stuck"


def ranks(*frames: tuple[str, ...]) -> tuple[ProcessSight, ...]:
    return tuple(replace(WORKER, pid=20 + at, rank=f"TP{at}", python=stack) for at, stack in enumerate(frames))


def test_ranks_that_wait_in_a_collective_hang_together() -> None:
    frames = ("all_reduce (torch/distributed/distributed_c10d.py:2810)", "forward (linear.py:1)")
    diagnosis = diagnose(replace(STILL, processes=(ENGINE, *ranks(frames, ("forward (moe.py:9)",)))))
    assert diagnosis.finding.cause == "collective_hang"
    assert f"worker TP0 (pid 20) is in {frames[0]}" in diagnosis.finding.evidence
    assert any("NCCL_DEBUG" in line for line in diagnosis.cause.advice)


def test_some_gpus_at_full_use_beside_idle_ones_are_a_collective() -> None:
    gpus = (Gpu("0", 1.0, 0.9), Gpu("1", 0.0, 0.9))
    diagnosis = diagnose(replace(STILL, gpus=gpus, processes=(ENGINE, *ranks((), ()))))
    assert diagnosis.finding.cause == "collective_hang"
    assert "GPUs 0 are fully used, 1 do nothing" in diagnosis.finding.evidence


def test_a_watchdog_line_is_a_collective_even_when_nothing_else_is_known() -> None:
    line = "[rank1]:[E] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)"
    assert cause(replace(STILL, log=(line,))) == "collective_hang"


def test_a_single_rank_has_nobody_to_wait_for() -> None:
    one = replace(WORKER, python=("all_reduce (distributed_c10d.py:1)",))
    assert cause(replace(STILL, processes=(ENGINE, one))) == "engine_stuck"


@pytest.mark.parametrize(
    "facts",
    [
        {"gpus": (Gpu("0", 1.0, 0.9),)},
        {"gpus": (Gpu("0", None, None, lost=True),)},
        {"processes": (ENGINE, replace(WORKER, state="D", wchan="uvm_va_space_destroy"))},
        {"processes": (ENGINE, replace(WORKER, kernel=("schedule", "nvidia_unlocked_ioctl")))},
        {
            "gpus": (Gpu("0", 0.5, 0.9),),
            "processes": (ENGINE, replace(WORKER, python=("synchronize (torch/cuda/streams.py:1)",))),
        },
    ],
)
def test_a_step_that_does_not_come_back_is_told_by_gpu_kernel_or_stack(facts: dict[str, object]) -> None:
    diagnosis = diagnose(replace(STILL, **facts))  # type: ignore[arg-type] # names and types are the test's
    assert diagnosis.finding.cause == "kernel_stall"
    assert any("CUDA_LAUNCH_BLOCKING" in line for line in diagnosis.cause.advice)


def test_requests_that_wait_before_an_idle_engine_are_a_deadlock_of_the_scheduler() -> None:
    queue = EngineValues(running=0, waiting=7, kv_usage=0.0, iterations=100)
    diagnosis = diagnose(seen(*watched(queue), engine_answers=True))
    assert (diagnosis.finding.cause, diagnosis.finding.certainty) == ("scheduler_deadlock", "likely")
    assert diagnose(seen(*watched(queue), engine_answers=False)).finding.certainty == "possible"


def test_a_hang_from_idle_shows_nothing_but_the_unanswered_canary() -> None:
    idle = EngineValues(0, 0, kv_usage=0.0, iterations=100)
    diagnosis = diagnose(seen(*watched(idle), canary="timeout", canary_seconds=8.0, engine_answers=False))
    assert (diagnosis.finding.cause, diagnosis.cause.hang) == ("engine_stuck", True)
    assert "a test request got no answer in 8 s" in diagnosis.finding.evidence


def test_a_silence_that_is_still_short_is_only_possible() -> None:
    assert diagnose(STILL).finding.certainty == "likely"
    short = replace(STILL, samples=watched(RUNS, seconds=10.0))
    assert diagnose(short).finding.certainty == "possible"
    assert diagnose(replace(short, progress_age=100.0, stall_limit=300.0)).finding.certainty == "possible"  # warm-up


def test_other_causes_that_speak_for_themselves_are_named_too() -> None:
    both = replace(STILL, gpus=(Gpu("0", 1.0, 0.995),))
    diagnosis = diagnose(both)
    assert (diagnosis.finding.cause, [one.cause for one in diagnosis.others]) == (
        "gpu_memory_exhausted",
        ["kernel_stall"],
    )


def test_metrics_that_cannot_be_read_are_said() -> None:
    assert cause(seen(problem="status 401")) == "unreadable"


def test_each_cause_of_a_hang_says_what_to_try() -> None:
    assert [name for name, one in CAUSES.items() if one.hang and not one.advice] == []

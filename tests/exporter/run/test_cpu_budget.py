from __future__ import annotations

from dataclasses import dataclass

from vllm_exporter.run.cpu_budget import CpuBudget


@dataclass
class Run:
    name: str
    base_interval: float = 1.0
    interval: float = 1.0
    for_scrapes: bool = True


def adjust(budget: CpuBudget, now: float, total: float, *spent: tuple[Run, float]) -> str:
    return budget.adjust(now, total, spent)


def test_within_the_budget_nothing_changes() -> None:
    budget, gpu = CpuBudget(0.001), Run("gpu")
    assert adjust(budget, 100, 5.0, (gpu, 1.0)) == ""
    assert adjust(budget, 130, 5.029, (gpu, 1.02)) == ""
    assert gpu.interval == 1.0


def test_over_the_budget_the_most_expensive_collector_runs_half_as_often_and_it_is_said() -> None:
    budget, gpu, logs = CpuBudget(0.001), Run("gpu"), Run("logs")
    adjust(budget, 100, 5.0, (gpu, 1.0), (logs, 4.0))
    said = adjust(budget, 130, 5.06, (gpu, 1.05), (logs, 4.01))
    assert said == "gpu every 2 s: 0.20% of a core is more than 0.10%"
    assert (gpu.interval, logs.interval) == (2.0, 1.0)


def test_what_was_spent_before_the_first_look_does_not_count() -> None:
    budget, gpu = CpuBudget(0.001), Run("gpu")
    assert adjust(budget, 100, 500.0, (gpu, 400.0)) == ""
    assert gpu.interval == 1.0


def test_one_that_others_than_scrapes_wait_for_is_never_slowed() -> None:
    budget, probe = CpuBudget(0.001), Run("probe", for_scrapes=False)
    adjust(budget, 0, 0.0, (probe, 0.0))
    assert adjust(budget, 30, 30.0, (probe, 30.0)) == ""
    assert probe.interval == 1.0


def test_slows_no_further_than_every_four_seconds() -> None:
    budget, gpu, disks = CpuBudget(0.001), Run("gpu"), Run("filesystems", base_interval=10.0, interval=10.0)
    for turn in range(10):
        adjust(budget, 30.0 * turn, 10.0 * turn, (gpu, 10.0 * turn), (disks, 10.0 * turn))
    assert (gpu.interval, disks.interval) == (4.0, 10.0)


def test_runs_more_often_again_when_there_is_room() -> None:
    budget, gpu = CpuBudget(0.001), Run("gpu", interval=4.0)
    adjust(budget, 0, 0.0, (gpu, 0.0))
    assert adjust(budget, 30, 0.006, (gpu, 0.003)) == "gpu every 2 s again: 0.02% of a core leaves room"
    assert gpu.interval == 2.0


def test_stays_slow_where_running_more_often_would_take_it_over_the_budget_again() -> None:
    budget, gpu = CpuBudget(0.001), Run("gpu", interval=4.0)
    adjust(budget, 0, 0.0, (gpu, 0.0))
    assert adjust(budget, 30, 0.012, (gpu, 0.010)) == ""
    assert gpu.interval == 4.0


def test_a_clock_that_stands_still_changes_nothing() -> None:
    budget, gpu = CpuBudget(0.001), Run("gpu")
    adjust(budget, 100, 0.0, (gpu, 0.0))
    assert adjust(budget, 100, 9.0, (gpu, 9.0)) == ""

from __future__ import annotations

import pytest

from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.cpu import CpuStat, load_rows, parse_cpu, parse_pressure, without_small_steps_back

STAT = (
    b"cpu  100 0 0 %d 5 0 0 0 0 0\ncpu0 1 1\nintr 9 1\nctxt 7\nbtime 8\nprocesses 9\nprocs_running 1\nprocs_blocked 2\n"
)


def test_a_counter_does_not_go_back_a_little() -> None:
    assert without_small_steps_back([11.43], [11.40]) == [11.43]


def test_a_counter_follows_when_a_cpu_was_taken_offline() -> None:
    assert without_small_steps_back([2155.0], [1001.0]) == [1001.0]


def test_keeps_the_counts_of_the_reading_before() -> None:
    stat = CpuStat()
    assert idle(stat, 1000) == 10.0
    assert idle(stat, 999) == 10.0
    assert idle(stat, 1001) == 10.01


def idle(stat: CpuStat, ticks: int) -> float:
    return {values: value for (_, values), value in stat.rows(STAT % ticks)}[("idle",)]


def test_counts_the_cpus_that_have_a_line() -> None:
    assert dict(CpuStat().rows(STAT % 1))[names.HOST_CPUS, ()] == 1


def test_refuses_a_stat_without_a_count() -> None:
    with pytest.raises(LookupError, match="processes"):
        list(CpuStat().rows(STAT.replace(b"processes", b"forks") % 1))


def test_refuses_a_cpu_line_that_is_too_short() -> None:
    with pytest.raises(ValueError, match="cpu"):
        parse_cpu("1 2 3")


def test_reads_the_load_and_the_number_of_tasks() -> None:
    assert [value for _, value in load_rows(b"0.20 0.18 0.12 1/80 11206\n")] == [0.20, 0.18, 0.12, 80]


def test_pressure_of_interrupts_has_only_full() -> None:
    assert parse_pressure(b"full avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n") == {"full": 2.5}


def test_refuses_another_kind_of_pressure() -> None:
    with pytest.raises(ValueError, match="no pressure"):
        parse_pressure(b"much avg10=0.00 avg60=0.00 avg300=0.00 total=1\n")

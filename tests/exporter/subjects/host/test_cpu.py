from __future__ import annotations

from math import isnan

import pytest

from vllm_exporter.metrics.family import Family
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


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        (b"processes 9", b"forks 9", names.HOST_PROCESSES_STARTED_TOTAL),
        (b"procs_blocked 2", b"softirq", names.HOST_PROCESSES_BLOCKED),
        (b"procs_running 1", b"procs_running 4294967295", names.HOST_PROCESSES_RUNNING),
        (b"ctxt 7", b"", names.HOST_CONTEXT_SWITCHES_TOTAL),
        (b"btime 8", b"btime", names.HOST_BOOT_TIME_SECONDS),
    ],
)
def test_a_stat_that_lacks_a_count_has_all_others(before: bytes, after: bytes, missing: Family) -> None:
    """Files of containers and of sandboxes have fewer lines than the kernel's."""
    whole = {series for series, _ in CpuStat().rows(STAT % 1)}
    assert whole - {series for series, _ in CpuStat().rows(STAT.replace(before, after) % 1)} == {(missing, ())}


def test_a_stat_without_cpus_is_refused() -> None:
    with pytest.raises(LookupError, match="cpu"):
        list(CpuStat().rows(b"ctxt 7\nbtime 8\n"))


def test_a_mode_that_the_file_lacks_or_whose_count_wrapped_costs_no_other() -> None:
    """Xen let steal wrap after a migration; OpenVZ's oldest files know four modes."""
    seconds = parse_cpu("100 200 300 400 500 0 0 18446744073709551615 0 0")
    assert (seconds[:5], isnan(seconds[7])) == ([1.0, 2.0, 3.0, 4.0, 5.0], True)
    seconds = parse_cpu("100 200 300 400")
    assert (seconds[:4], [isnan(one) for one in seconds[4:]]) == ([1.0, 2.0, 3.0, 4.0], [True] * 4)


def test_the_stat_of_gvisor_is_all_zeros() -> None:
    """google/gvisor#9967."""
    text = b"cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nintr 0 0\nctxt 0\nbtime 1706898049\nprocesses 0\n"
    values = dict(CpuStat().rows(text + b"procs_running 0\nprocs_blocked 0\nsoftirq 0 0 0\n"))
    assert (values[names.HOST_BOOT_TIME_SECONDS, ()], values[names.HOST_PROCESSES_STARTED_TOTAL, ()]) == (1706898049, 0)


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


def test_the_stat_of_an_openvz_kernel_has_a_blank_line_and_fewer_modes() -> None:
    """prometheus/node_exporter#38, 2.6.32-25-pve."""
    text = (
        b"cpu  99861709 51704 39800352 4643329336 2997662616 0 0 8316789\n"
        b"cpu0 38789986 3414 18464189 1123843679 1633841492 0 0 4026454\nintr 0\nswap 0 0\n\nctxt 9\nbtime 8\n"
        b"processes 7\nprocs_running 2\nprocs_blocked 1\n"
    )
    found = dict(CpuStat().rows(text))
    assert (found[names.HOST_CPU_SECONDS_TOTAL, ("steal",)], found[names.HOST_CPUS, ()]) == (83167.89, 1)
    assert found[names.HOST_PROCESSES_STARTED_TOTAL, ()] == 7

"""Joining the snapshots of a server's processes."""

from __future__ import annotations

from vllm_exporter.metrics.family import Family
from vllm_exporter.subjects.inside.format import Directory, Entry, EntryKind, ProcessIdentity, ProcessSnapshot
from vllm_exporter.subjects.inside.sums import Sums, spread

REQUESTS = Family("requests_total", "counter", "Requests.", ("server", "status"))
LATENCY = Family("latency_seconds", "histogram", "Latency.", ("server",))
SPEED = Family("speed", "gauge", "Speed.", ("server",))
NOW = 100.0
FAMILIES = {one.name: one for one in (REQUESTS, LATENCY, SPEED)}


def snapshot(entries: list[Entry], *values: float, pid: int = 1) -> ProcessSnapshot:
    return ProcessSnapshot(ProcessIdentity("b", 0, pid, 1), 0, 0.0, Directory(tuple(entries)), values)


def requests(count: float, status: str = "success") -> ProcessSnapshot:
    return snapshot([Entry("counter", "requests_total", (("status", status),), 0)], count)


def latency(bounds: tuple[float, ...], *numbers: float) -> ProcessSnapshot:
    return snapshot([Entry("histogram", "latency_seconds", (), 0, bounds)], *numbers)


def speed(kind: EntryKind, value: float) -> ProcessSnapshot:
    return snapshot([Entry(kind, "speed", (), 0)], value)


def show(sums: Sums, *live: tuple[str, ProcessSnapshot]) -> dict[str, float]:
    """The series as text with their numbers."""
    plan = sums.plan([server for server, _ in live], [one for _, one in live])
    numbers = plan.add([one.values for _, one in live], NOW)
    names = [f"{family.name}{values}" for family, values in plan.series]
    return dict(zip(names, numbers, strict=True))


def test_adds_up_the_processes_of_a_server_and_keeps_servers_apart() -> None:
    assert show(Sums(FAMILIES), ("a", requests(2)), ("a", requests(3)), ("b", requests(5))) == {
        "requests_total('a', 'success')": 5,
        "requests_total('b', 'success')": 5,
    }


def test_a_histogram_comes_out_cumulative_with_sum_and_count() -> None:
    live = latency((0.1, 1.0), 3, 4, 5, 9.5)
    assert show(Sums(FAMILIES), ("a", live), ("a", live)) == {
        "latency_seconds_bucket('a', '0.1')": 6,
        "latency_seconds_bucket('a', '1.0')": 14,
        "latency_seconds_bucket('a', '+Inf')": 24,
        "latency_seconds_sum('a',)": 19,
        "latency_seconds_count('a',)": 24,
    }


def test_histograms_with_other_bounds_meet_in_those_that_both_have() -> None:
    assert show(Sums(FAMILIES), ("a", latency((0.1, 1.0), 3, 4, 5, 9.5)), ("a", latency((1.0, 2.0), 1, 1, 1, 1))) == {
        "latency_seconds_bucket('a', '1.0')": 8,
        "latency_seconds_bucket('a', '+Inf')": 15,
        "latency_seconds_sum('a',)": 10.5,
        "latency_seconds_count('a',)": 15,
    }


def test_gauges_are_added_or_the_largest_is_taken_as_the_file_says() -> None:
    assert show(Sums(FAMILIES), ("a", speed("sum", 2)), ("a", speed("sum", 3))) == {"speed('a',)": 5}
    assert show(Sums(FAMILIES), ("a", speed("max", -2)), ("a", speed("max", -3))) == {"speed('a',)": -2}


def test_what_happened_last_in_any_process_is_shown_as_its_age() -> None:
    assert show(Sums(FAMILIES), ("a", speed("last", 90.0)), ("a", speed("last", 97.5))) == {"speed('a',)": 2.5}


def test_an_age_is_never_negative() -> None:
    assert show(Sums(FAMILIES), ("a", speed("last", NOW + 1))) == {"speed('a',)": 0.0}


def test_what_ended_processes_counted_stays_and_their_gauges_go() -> None:
    sums = Sums(FAMILIES)
    sums.fold("a", requests(10))
    sums.fold("a", requests(1))
    sums.fold("a", speed("sum", 5))
    sums.fold("a", latency((0.1, 1.0), 1, 1, 1, 2))
    sums.fold("a", latency((1.0,), 1, 1, 2))
    assert show(sums, ("a", requests(2))) == {
        "latency_seconds_bucket('a', '1.0')": 3,
        "latency_seconds_bucket('a', '+Inf')": 5,
        "latency_seconds_sum('a',)": 4,
        "latency_seconds_count('a',)": 5,
        "requests_total('a', 'success')": 13,
    }


def test_names_kinds_and_labels_that_are_not_declared_are_ignored_and_named() -> None:
    strange = snapshot(
        [
            Entry("counter", "unheard_of_total", (), 0),
            Entry("sum", "requests_total", (("status", "x"),), 1),
            Entry("max", "speed", (("prompt", "x"),), 2),
            Entry("counter", "requests_total", (("status", "success"),), 3),
        ],
        1, 2, 3, 4,
    )  # fmt: skip
    sums = Sums(FAMILIES)
    assert show(sums, ("a", strange)) == {"requests_total('a', 'success')": 4}
    assert sums.ignored([strange]) == ["requests_total", "speed", "unheard_of_total"]


def test_no_process_and_nothing_kept_is_no_series() -> None:
    assert show(Sums(FAMILIES)) == {}


def test_labels_without_end_do_not_fill_the_page() -> None:
    entries = [Entry("counter", "requests_total", (("status", f"{at:05}"),), at) for at in range(6000)]
    assert len(show(Sums(FAMILIES), ("a", snapshot(entries, *[1.0] * 6000)))) == 5000


def test_a_bucket_goes_to_the_next_larger_bound_that_is_left() -> None:
    assert spread((0.1, 0.5, 1.0), (0.5,)) == [0, 0, 1, 1, 2]


def test_labels_without_end_do_not_fill_the_memory_either() -> None:
    sums = Sums(FAMILIES)
    for at in range(5001):
        sums.fold("a", requests(1, status=f"made up {at}"))
    assert len(sums.base) == 5000
    sums.fold("a", requests(1, status="made up 0"))
    assert sums.base["requests_total", ("a", "made up 0")].numbers == (2,)

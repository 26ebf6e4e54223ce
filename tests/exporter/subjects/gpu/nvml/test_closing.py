"""The library is closed while a thread waits in it for XIDs: nothing can cut that wait short."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import enumerate as threads

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.subjects.gpu.nvml.rig import GIB, values
from tests.exporter.subjects.gpu.stub import Stub
from tests.patience import wait_for
from vllm_exporter.subjects.gpu.nvml import driver, session
from vllm_exporter.subjects.gpu.nvml.driver import NvmlSource
from vllm_exporter.subjects.gpu.xids import XidLedger


class Case:
    def __init__(self, stub: Stub, wait: float) -> None:
        self.clock = FakeClock()
        self.told: list[tuple[str, int]] = []
        self.ledger = XidLedger(self.clock, lambda gpu_id, code, _kind: self.told.append((gpu_id, code)))
        self.source = NvmlSource(self.clock, self.ledger, stub.path, event_wait=wait)

    def cycle(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        self.source.read()


MakeCase = Callable[[float], Case]


@pytest.fixture
def make_case(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeCase]:
    """A source whose thread waits that many seconds at a time; nobody waits for it."""
    monkeypatch.setattr(driver, "CLOSE_SECONDS", 0.0)
    made: list[Case] = []

    def make(wait: float) -> Case:
        made.append(Case(stub, wait))
        return made[-1]

    yield make
    for case in made:
        case.source.close()
    for _ in range(10):
        stub.xid(0, 1)  # ends their waits
        time.sleep(0.001)  # each takes one of them
    wait_for(lambda: watching() == 0)


def cycle_until(case: Case, condition: Callable[[], object]) -> None:
    def go_on() -> object:
        case.cycle(0)
        return condition()

    wait_for(go_on)


def watching() -> int:
    return sum(thread.name == "gpu-xids" for thread in threads())


def test_a_library_in_use_is_not_closed_until_the_wait_is_over(stub: Stub, make_case: MakeCase) -> None:
    case = make_case(0.1)
    case.cycle()
    case.source.release()
    case.cycle()
    assert stub.is_open
    assert case.source.snapshot is None
    assert case.source.closed_because == ""  # nobody may believe yet that nothing is held
    cycle_until(case, lambda: not stub.is_open)
    assert case.source.closed_because.startswith("released on request")
    assert watching() == 0


def test_a_library_that_is_wanted_again_is_closed_first(stub: Stub, make_case: MakeCase) -> None:
    case = make_case(0.1)
    case.cycle()
    case.source.release()
    case.cycle()
    case.source.reopen()
    case.cycle()
    assert case.source.snapshot is None
    cycle_until(case, lambda: case.source.snapshot is not None)
    assert watching() == 1


def test_at_the_end_of_the_process_nothing_is_waited_for(stub: Stub, make_case: MakeCase) -> None:
    case = make_case(5.0)
    case.cycle()
    started = time.monotonic()
    case.source.close()
    assert time.monotonic() - started < 2.0
    assert stub.is_open


def test_new_instances_are_read_at_once_whoever_still_waits(stub: Stub, make_case: MakeCase) -> None:
    case = make_case(5.0)
    case.cycle()
    stub.set("mig", 1)
    started = time.monotonic()
    case.cycle(10)
    assert time.monotonic() - started < 2.0
    assert case.source.snapshot is not None
    assert values(case.source.snapshot.fast)["memory_used_bytes", "0:0"] == GIB // 8


def test_an_xid_that_two_threads_hear_of_counts_once(stub: Stub, make_case: MakeCase) -> None:
    case = make_case(5.0)
    case.cycle()
    stub.set("mig", 1)
    case.cycle(10)
    assert watching() == 2
    stub.xid(0, 31)
    wait_for(lambda: watching() == 1)
    wait_for(lambda: case.told)
    stub.xid(0, 79)
    wait_for(lambda: case.told == [("0", 31), ("0", 79)])


def test_an_xid_counts_while_the_library_is_being_closed(stub: Stub, make_case: MakeCase) -> None:
    case = make_case(5.0)
    case.cycle()
    case.source.release()
    case.cycle()
    stub.xid(0, 79)
    wait_for(lambda: case.told == [("0", 79)])


def test_threads_that_do_not_come_back_are_not_followed_by_more(stub: Stub, make_case: MakeCase) -> None:
    case = make_case(5.0)
    case.cycle()
    for instances in (1, 2, 3, 4, 5):
        stub.set("mig", instances)
        case.cycle(10)
    assert watching() == session.RETIRED_MAX + 1

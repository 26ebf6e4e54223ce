"""XIDs that the kernel prints before anybody knows which GPU has which PCI address."""

from __future__ import annotations

from tests.exporter.fakes import FakeClock
from vllm_exporter.errors import SourceError
from vllm_exporter.linux.kernel_log import KernelLine, KernelLog
from vllm_exporter.subjects.gpu.xids import HELD_MAX, KernelXids, XidLedger

GPUS = {"0000:17:00.0": "0", "0000:18:00.0": "1"}


def xid(bus: str, code: int) -> str:
    return f"NVRM: Xid (PCI:0000:{bus}:00): {code}, pid=1234, name=VLLM::Worker"


class FakeLog(KernelLog):
    def __init__(self) -> None:
        self.printed: list[str] = []
        self.broken = False

    def read(self, limit: int = 1000) -> list[KernelLine]:
        if self.broken:
            raise SourceError("gone")
        lines, self.printed = self.printed, []
        return [KernelLine(1, 0.0, 3, text) for text in lines]

    def close(self) -> None: ...


class Case:
    def __init__(self) -> None:
        self.clock, self.log = FakeClock(), FakeLog()
        self.told: list[tuple[str, int]] = []
        self.ledger = XidLedger(self.clock, lambda gpu_id, code, _kind: self.told.append((gpu_id, code)))
        self.kernel = KernelXids(self.clock, self.ledger, lambda: self.log)

    def read(self, gpu_ids: dict[str, str] | None, seconds: float = 1.0) -> list[tuple[str, int]]:
        """What was told until then, after that time."""
        self.clock.advance(seconds)
        self.kernel.read(gpu_ids)
        return self.told


def test_an_xid_waits_for_the_id_of_its_gpu() -> None:
    case = Case()
    case.log.printed = [xid("18", 79), xid("17", 31), xid("18", 79)]
    assert case.read(None) == []
    assert case.read(None) == []
    assert case.read(GPUS) == [("1", 79), ("0", 31), ("1", 79)]
    assert {key: seen.count for key, seen in case.ledger.counts().items()} == {("1", 79): 2, ("0", 31): 1}


def test_it_is_said_when_it_was_and_not_when_the_id_was_known() -> None:
    case = Case()
    case.log.printed = [xid("18", 79)]
    case.read(None)
    case.read(GPUS, 20)
    assert case.ledger.counts()["1", 79].last_seen == 1_700_000_001.0


def test_one_of_a_gpu_that_the_driver_does_not_know_goes_under_no_id() -> None:
    case = Case()
    case.log.printed = [xid("99", 79)]
    case.read(None)
    assert case.read(GPUS) == [("", 79)]


def test_where_the_driver_says_nothing_an_xid_is_told_after_half_a_minute() -> None:
    case = Case()
    case.log.printed = [xid("18", 119)]
    case.read(None)
    assert case.read(None, 29) == []
    case.log.printed = [xid("17", 119)]
    assert case.read(None, 1) == [("", 119)]
    assert case.read(GPUS) == [("", 119), ("0", 119)]


def test_no_more_than_a_hundred_are_held() -> None:
    case = Case()
    case.log.printed = [xid("18", 31)] * (HELD_MAX + 2)
    assert case.read(None) == [("", 31)] * 2
    assert len(case.read(GPUS)) == HELD_MAX + 2
    assert case.ledger.counts()["1", 31].count == HELD_MAX


def test_once_the_ids_are_known_nothing_waits() -> None:
    case = Case()
    case.read(GPUS)
    case.log.printed = [xid("17", 31)]
    assert case.read(GPUS) == [("0", 31)]


def test_what_is_held_is_told_when_the_log_breaks() -> None:
    case = Case()
    case.log.printed = [xid("17", 31)]
    case.read(None)
    case.log.broken = True
    assert case.read(None) == [("", 31)]


def test_nothing_printed_is_nothing_told() -> None:
    case = Case()
    case.log.printed = ["usb 1-1: new device"]
    assert case.read(None, 60) == []
    assert case.read(GPUS) == []


def test_the_drivers_word_for_the_same_xid_counts_it_once() -> None:
    case = Case()
    case.log.printed = [xid("17", 79)]
    case.read(None)
    case.ledger.saw("driver", "0", 79)
    assert case.read(GPUS) == [("0", 79)]
    assert case.ledger.counts()["0", 79].count == 1

from __future__ import annotations

from tests.exporter.fakes import FakeClock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.facts.xids import XIDS, classify
from vllm_exporter.linux.kernel_log import KernelLine, KernelLog
from vllm_exporter.subjects.gpu.xids import KernelXids, XidCount, XidLedger

FELL_OFF = "NVRM: Xid (PCI:0000:17:00): 79, pid=1234, name=VLLM::Worker, GPU has fallen off the bus."


class Told:
    def __init__(self) -> None:
        self.xids: list[tuple[str, int]] = []

    def __call__(self, gpu_id: str, code: int) -> None:
        self.xids.append((gpu_id, code))


class FakeLog(KernelLog):
    def __init__(self, *batches: list[str] | SourceError) -> None:
        self.batches = list(batches)
        self.closed = False

    def read(self, limit: int = 1000) -> list[KernelLine]:
        batch = self.batches.pop(0) if self.batches else []
        if isinstance(batch, SourceError):
            raise batch
        return [KernelLine(1, 0.0, 3, text) for text in batch]

    def close(self) -> None:
        self.closed = True


def test_an_xid_that_two_witnesses_report_counts_once() -> None:
    clock, told = FakeClock(), Told()
    ledger = XidLedger(clock, told)
    ledger.saw("driver", "0", 79)
    ledger.saw("kernel", "0", 79)
    assert ledger.counts() == {("0", 79): XidCount("0", 79, 1, 1_700_000_000.0)}
    assert told.xids == [("0", 79)]


def test_an_xid_that_only_one_witness_reports_counts_too() -> None:
    clock, told = FakeClock(), Told()
    ledger = XidLedger(clock, told)
    ledger.saw("driver", "0", 31)
    ledger.saw("kernel", "0", 31)
    clock.advance(60)
    ledger.saw("kernel", "0", 31)
    ledger.saw("kernel", "1", 31)
    assert ledger.counts()["0", 31] == XidCount("0", 31, 2, 1_700_000_060.0)
    assert ledger.counts()["1", 31].count == 1
    assert told.xids == [("0", 31), ("0", 31), ("1", 31)]


def test_the_kernels_lines_are_joined_to_gpus_by_pci_address() -> None:
    ledger = XidLedger(FakeClock(), Told())
    kernel = KernelXids(FakeClock(), ledger, lambda: FakeLog(["usb 1-1: new device", FELL_OFF]))
    kernel.read({"0000:17:00.0": "3"})
    kernel.read({"0000:17:00.0": "3"})
    assert list(ledger.counts()) == [("3", 79)]


def test_an_xid_of_a_gpu_that_is_not_known_is_kept_under_no_id() -> None:
    ledger = XidLedger(FakeClock(), Told())
    KernelXids(FakeClock(), ledger, lambda: FakeLog([FELL_OFF])).read({})
    assert list(ledger.counts()) == [("", 79)]


def test_without_the_right_to_read_the_kernels_log_there_is_one_witness_less() -> None:
    def refuse() -> KernelLog:
        raise NoData("/dev/kmsg: cannot be read")

    ledger = XidLedger(FakeClock(), Told())
    kernel = KernelXids(FakeClock(), ledger, refuse)
    kernel.read({})
    kernel.close()
    assert ledger.counts() == {}


def test_a_kernel_log_that_breaks_is_closed_and_not_read_again() -> None:
    log = FakeLog(SourceError("gone"), [FELL_OFF])
    ledger = XidLedger(FakeClock(), Told())
    kernel = KernelXids(FakeClock(), ledger, lambda: log)
    kernel.read({})
    kernel.read({})
    assert log.closed
    assert ledger.counts() == {}


def test_codes_have_the_class_that_nvidia_gives_them() -> None:
    assert classify(79) == ("restart_host", "GPU has fallen off the bus")
    assert classify(31)[0] == "restart_app"
    assert classify(95)[0] == "reset_gpu"
    assert classify(63)[0] == "ignore"


def test_a_code_that_is_not_in_the_table_is_unknown() -> None:
    assert 999 not in XIDS
    assert classify(999)[0] == "unknown"

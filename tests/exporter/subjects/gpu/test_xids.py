from __future__ import annotations

from tests.exporter.fakes import FakeClock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.facts.xids import SEVERITIES, XIDS, XidClass, classify, classify_line
from vllm_exporter.linux.kernel_log import KernelLine, KernelLog
from vllm_exporter.subjects.gpu.xids import KernelXids, XidCount, XidLedger

FELL_OFF = "NVRM: Xid (PCI:0000:17:00): 79, pid=1234, name=VLLM::Worker, GPU has fallen off the bus."


class Told:
    def __init__(self) -> None:
        self.xids: list[tuple[str, int]] = []
        self.classes: list[XidClass] = []

    def __call__(self, gpu_id: str, code: int, kind: XidClass) -> None:
        self.xids.append((gpu_id, code))
        self.classes.append(kind)


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


GPUS = {"0000:17:00.0": "0"}
NONFATAL = "NVRM: Xid (PCI:0000:17:00): 145, pid=876767, name=ray::WorkerDict, RLW_RXPIPE Nonfatal XC0 i0 Link 13"
FATAL = "NVRM: Xid (PCI:0000:17:00): 145, RLW_SRC_TRACK Fatal XC0 i0 Link 00 (0x00000007 0x00000001)"


class Witnesses:
    """The driver and the kernel's log, of one GPU."""

    def __init__(self, *batches: list[str] | SourceError) -> None:
        self.clock, self.told = FakeClock(), Told()
        self.ledger = XidLedger(self.clock, self.told)
        self.kernel = KernelXids(self.clock, self.ledger, lambda: FakeLog(*batches))

    def read(self, seconds: float = 2.0) -> list[XidClass]:
        self.clock.advance(seconds)
        self.kernel.read(GPUS)
        return self.told.classes


def test_an_nvlink_error_is_as_bad_as_its_line_says_although_the_driver_reports_the_code_first() -> None:
    case = Witnesses([], [NONFATAL])
    case.ledger.saw("driver", "0", 145)
    assert case.read() == []
    assert case.read() == ["ignore"]
    assert case.ledger.counts()["0", 145].count == 1


def test_an_nvlink_error_that_the_kernel_prints_first_is_told_once() -> None:
    case = Witnesses([FATAL], [])
    assert case.read() == ["reset_gpu"]
    case.ledger.saw("driver", "0", 145)
    assert case.read(20.0) == ["reset_gpu"]


def test_an_nvlink_error_without_a_line_is_told_after_ten_seconds_as_bad_as_it_can_be() -> None:
    case = Witnesses()
    case.ledger.saw("driver", "0", 145)
    assert case.read(9.0) == []
    assert case.read(2.0) == ["nvlink"]


def test_an_nvlink_error_is_told_at_once_where_the_kernels_log_cannot_be_read() -> None:
    told = Told()
    XidLedger(FakeClock(), told).saw("driver", "0", 145)
    assert told.classes == ["nvlink"]


def test_a_kernel_log_that_breaks_leaves_no_nvlink_error_untold() -> None:
    case = Witnesses(SourceError("gone"))
    case.ledger.saw("driver", "0", 145)
    assert case.read() == ["nvlink"]


def test_other_errors_do_not_wait_for_their_line() -> None:
    case = Witnesses()
    case.ledger.saw("driver", "0", 79)
    assert case.told.classes == ["restart_host"]


# NVIDIA's catalogue of 2025-10-29, table "XID 144-150 Decode", with the unit and the first two numbers of the line.
def test_the_harm_of_an_nvlink_error_is_in_the_rest_of_its_line() -> None:
    expected = {
        (144, "SAW_MVB Nonfatal XC0 i0 Link 00 (0x00000001 0x00000001 0x0)"): "warning",
        (144, "SAW_MVB Fatal XC0 i0 Link 00 (0x00000001 0x00000002 0x0)"): "critical",
        (146, "TLW_CTRL Fatal XC0 i0 Link 00 (0x00000009 0x00000004 0x0)"): "critical",
        (148, "NVLPW_CTRL/NVLPW Nonfatal XC0 i0 Link 00 (0x0000000f 0x80000000)"): "warning",
        (149, "NETIR_BER_EVENT Nonfatal XC0 i0 Link 03 (0x00086226 0x00000001)"): "warning",
        (149, "NETIR Fatal XC0 i0 Link -1 (0x000fe406 0x00000000 0x00000000)"): "critical",
        (149, "NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x004505c6 0x00000000)"): "critical",
        (149, "NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x026001c6 0x00000000)"): "warning",  # sub-code 38: IGNORE
        (150, "MSE_WATCHDOG Fatal XC0 i0 Link 00 (0x00000000 0x00000000)"): "critical",
        (145, "RLW_SRC_TRACK"): "critical",  # the line does not say: as bad as it can be
        (74, "NVLink: fatal error detected on link 6(0x10000, 0x0, 0x0)"): "critical",
    }
    assert {key: SEVERITIES[classify_line(*key)[0]] for key in expected} == expected


def test_a_recovery_action_that_is_taken_back_is_no_fault() -> None:
    done = "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"
    needed = "GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)"
    assert SEVERITIES[classify_line(154, done)[0]] == "warning"
    assert SEVERITIES[classify_line(154, needed)[0]] == "critical"


def test_other_lines_about_gpus_and_switches_are_counted_by_kind_and_severity() -> None:
    lines = [
        "nvidia-nvswitch0: SXid (PCI:0000:00:00.0): 20034, Fatal, Link 30 LTSSM Fault Up",
        "nvidia-nvswitch0: SXid (PCI:0000:00:00.0): 20034, Severity 1 Engine instance 30 Sub-engine instance 00",
        "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)",
        "NVRM: Xid (PCI:0000:17:00): 79, GPU has fallen off the bus.",
        "NVRM: GPU 0000:17:00.0: GPU has fallen off the bus.",
        "Out of memory: Killed process 12 (python3) total-vm:1kB",
    ]
    case = Witnesses(lines)
    case.read()
    seen = {key: count for key, count in case.kernel.others.items() if count}
    assert seen == {("sxid", "critical"): 1, ("sxid", "warning"): 1, ("lost", "critical"): 1}
    assert case.kernel.others["ras", "critical"] == 0
    assert list(case.ledger.counts()) == [("0", 79)]

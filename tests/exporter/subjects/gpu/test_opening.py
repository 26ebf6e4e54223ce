"""The GPU collector while the driver's library is being opened or closed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from tests.exporter.subjects.gpu.stub import Stub
from tests.patience import PATIENCE, wait_for
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData
from vllm_exporter.linux.kernel_log import KernelLine, KernelLog
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.gpu import collector as gpu
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.collector import GpuCollector, GpuOptions
from vllm_exporter.subjects.gpu.nvml import driver

FELL_OFF = "NVRM: Xid (PCI:0000:17:00): 79, pid=1234, name=VLLM::Worker, GPU has fallen off the bus."


class FakeLog(KernelLog):
    def __init__(self) -> None:
        self.printed: list[str] = []

    def read(self, limit: int = 1000) -> list[KernelLine]:
        lines, self.printed = self.printed, []
        return [KernelLine(1, 0.0, 3, text) for text in lines]

    def close(self) -> None: ...


class Case:
    """A collector that waits for no reading."""

    def __init__(self, stub: Stub, state: Path, log: FakeLog) -> None:
        self.clock, self.log = FakeClock(), log
        self.collector = GpuCollector(Context(Config(state_dir=str(state)), self.clock))
        self.collector._options = GpuOptions(library=stub.path)

    def run(self, seconds: float = 1.0) -> dict[tuple[str, ...], float]:
        self.clock.advance(seconds)
        found = samples(self.collector.collect())
        shown = [one for one in found if one.family != names.GPU_KERNEL_ERRORS_TOTAL or one.value]
        return {(one.family.name.removeprefix("vllm_gpu_"), *one.values): one.value for one in shown}

    def run_until(self, key: tuple[str, ...]) -> dict[tuple[str, ...], float]:
        return wait_for(lambda: found if key in (found := self.run(0)) else {})


@pytest.fixture
def case(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    log = FakeLog()
    monkeypatch.setattr("vllm_exporter.subjects.gpu.xids.KernelXids.__init__.__defaults__", (lambda: log,))
    monkeypatch.setattr(gpu, "FIRST_GRACE", 0.005)
    monkeypatch.setattr(gpu, "GRACE", 0.005)
    monkeypatch.setattr(driver, "NvmlSource", partial(driver.NvmlSource, event_wait=0.1))
    monkeypatch.setattr(driver, "CLOSE_SECONDS", 0.0)
    made = Case(stub, tmp_path, log)
    yield made
    stub.hang(False)
    assert made.collector._worker.stop(PATIENCE)
    source = made.collector._source
    assert source is not None
    source.release()

    def closed() -> bool:
        source.read()
        return not stub.is_open

    wait_for(closed)


def test_an_xid_of_the_first_seconds_has_the_id_of_its_gpu(stub: Stub, case: Case) -> None:
    stub.hang(True)
    case.log.printed = [FELL_OFF]
    assert case.run() == {("driver_hung",): 0}
    stub.hang(False)
    found = case.run_until(("utilization_percent", "0"))
    assert found["xid_errors_total", "0", "79", "restart_host"] == 1
    assert ("xid_errors_total", "", "79", "restart_host") not in found


def test_an_xid_beside_a_driver_that_hangs_from_the_start_is_said_without_an_id(stub: Stub, case: Case) -> None:
    stub.hang(True)
    case.log.printed = [FELL_OFF]
    case.run()
    assert case.run(30)["xid_errors_total", "", "79", "restart_host"] == 1


def test_it_does_not_say_that_the_driver_is_released_before_it_is(stub: Stub, case: Case, tmp_path: Path) -> None:
    case.run_until(("utilization_percent", "0"))
    (tmp_path / "gpu.release").touch()
    before, reason = run_until_no_data(case)
    assert reason.startswith("released on request")
    assert not stub.is_open
    assert before[-1]["driver_hung",] == 0
    assert ("utilization_percent", "0") not in before[-1]


def run_until_no_data(case: Case) -> tuple[list[dict[tuple[str, ...], float]], str]:
    """What was shown until then, and why there is nothing more."""
    shown: list[dict[tuple[str, ...], float]] = []

    def reason() -> str:
        try:
            shown.append(case.run(0))
        except NoData as nothing:
            return str(nothing)
        return ""

    return shown, wait_for(reason)

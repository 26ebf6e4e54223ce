"""amdsmi over a module that answers in the words of ROCm 7.0: nothing here ran on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.exporter.fakes import FakeClock
from vllm_exporter.metrics.family import Row
from vllm_exporter.subjects.gpu.amd import AmdSource, number, percent, watts
from vllm_exporter.subjects.gpu.families import AMD_STAND_IN_ONLY
from vllm_exporter.subjects.gpu.source import GpuProcess


class AmdSmiException(Exception):
    def __init__(self, err_code: int) -> None:
        self.err_code = err_code


class FakeAmdsmi:
    """Two GPUs; the second lacks what older ones lack."""

    AmdSmiException = AmdSmiException
    AmdSmiClkType = SimpleNamespace(GFX="gfx", MEM="mem")
    AmdSmiTemperatureType = SimpleNamespace(HOTSPOT="hotspot", VRAM="vram")
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT="current", CRITICAL="critical", EMERGENCY="emergency")

    def __init__(self) -> None:
        self.handles = ["a", "b"]
        self.broken: dict[str, int] = {}  # function to code
        self.calls: list[str] = []
        self.open = False

    def _enter(self, name: str) -> None:
        self.calls.append(name)
        if name in self.broken:
            raise AmdSmiException(self.broken[name])

    def amdsmi_init(self) -> None:
        self._enter("amdsmi_init")
        self.open = True

    def amdsmi_shut_down(self) -> None:
        self.open = False

    def amdsmi_get_processor_handles(self) -> list[str]:
        return self.handles

    def amdsmi_get_gpu_asic_info(self, handle: str) -> dict[str, object]:
        return {"market_name": "AMD Instinct MI300X", "target_graphics_version": "gfx942"}

    def amdsmi_get_gpu_device_uuid(self, handle: str) -> str:
        return f"uuid-{handle}"

    def amdsmi_get_gpu_device_bdf(self, handle: str) -> str:
        return "0000:0C:00.0"

    def amdsmi_get_gpu_driver_info(self, handle: str) -> dict[str, str]:
        return {"driver_version": "6.14.5"}

    def amdsmi_get_gpu_vbios_info(self, handle: str) -> dict[str, str]:
        return {"version": "N/A"}

    def amdsmi_get_gpu_activity(self, handle: str) -> dict[str, object]:
        self._enter("amdsmi_get_gpu_activity")
        return {"gfx_activity": 87, "umc_activity": 40 if handle == "a" else "N/A"}

    def amdsmi_get_gpu_vram_usage(self, handle: str) -> dict[str, int]:
        return {"vram_total": 196_592, "vram_used": 2048}

    def amdsmi_get_temp_metric(self, handle: str, sensor: str, metric: str) -> int:
        if sensor == "vram" and handle == "b":
            self._enter("no vram sensor")
            raise AmdSmiException(2)
        return {"current": 55, "critical": 100, "emergency": 105}[metric] + (sensor == "vram")

    def amdsmi_get_power_info(self, handle: str) -> dict[str, object]:
        return {"average_socket_power": "N/A", "current_socket_power": 612}

    def amdsmi_get_energy_count(self, handle: str) -> dict[str, float]:
        return {"energy_accumulator": 4_000_000_000, "counter_resolution": 15.25, "timestamp": 1}

    def amdsmi_get_clock_info(self, handle: str, kind: str) -> dict[str, object]:
        return {"clk": 2100 if kind == "gfx" else 1300}

    def amdsmi_get_power_cap_info(self, handle: str) -> dict[str, int]:
        return {"power_cap": 750_000_000, "default_power_cap": 750_000_000}

    def amdsmi_get_gpu_total_ecc_count(self, handle: str) -> dict[str, int]:
        return {"correctable_count": 3, "uncorrectable_count": 1, "deferred_count": 0}

    def amdsmi_get_pcie_info(self, handle: str) -> dict[str, dict[str, object]]:
        return {
            "pcie_static": {"max_pcie_width": 16, "max_pcie_speed": 32_000},
            "pcie_metric": {"pcie_width": 8, "pcie_speed": 16_000, "pcie_replay_count": 4},
        }

    def amdsmi_get_gpu_process_list(self, handle: str) -> list[dict[str, object]]:
        return [{"pid": 4242, "mem": 0, "memory_usage": {"vram_mem": 1 << 30}}] if handle == "a" else []


@pytest.fixture
def amd(monkeypatch: pytest.MonkeyPatch) -> FakeAmdsmi:
    fake = FakeAmdsmi()
    monkeypatch.setitem(sys.modules, "amdsmi", fake)
    return fake


def values(rows: Iterable[Row]) -> dict[tuple[str, ...], float]:
    return {(family.name.removeprefix("vllm_gpu_"), *labels): number for (family, labels), number in rows}


def test_reads_the_families_that_both_makers_have(amd: FakeAmdsmi) -> None:
    source = AmdSource(FakeClock())
    source.read()
    assert source.snapshot is not None
    found = values(source.snapshot.fast)
    assert {key: value for key, value in found.items() if key[1] == "0"} == pytest.approx(
        {
            ("utilization_percent", "0"): 87,
            ("memory_busy_ratio", "0"): 0.4,
            ("memory_used_bytes", "0"): 2 << 30,
            ("memory_total_bytes", "0"): 196_592 << 20,
            ("temperature_celsius", "0", "gpu"): 55,
            ("temperature_celsius", "0", "memory"): 56,
            ("power_instant_watts", "0"): 612,
            ("energy_joules_total", "0"): 61_000,
            ("clock_hertz", "0", "sm"): 2.1e9,
            ("clock_hertz", "0", "memory"): 1.3e9,
        }
    )
    slow = values(source.snapshot.slow)
    assert {key: value for key, value in slow.items() if key[1] == "0"} == {
        ("info", "0", "uuid-a", "AMD Instinct MI300X", "0000:0c:00.0", "gfx942", "6.14.5", "", ""): 1,
        ("temperature_threshold_celsius", "0", "slowdown"): 100,
        ("temperature_threshold_celsius", "0", "shutdown"): 105,
        ("temperature_threshold_celsius", "0", "memory_max"): 101,
        ("power_limit_watts", "0"): 750,
        ("power_limit_default_watts", "0"): 750,
        ("ecc_errors_total", "0", "corrected", "volatile"): 3,
        ("ecc_errors_total", "0", "uncorrected", "volatile"): 1,
        ("pcie_replays_total", "0"): 4,
        ("pcie_link_lanes", "0"): 8,
        ("pcie_link_lanes_max", "0"): 16,
        ("pcie_link_generation", "0"): 4,
        ("pcie_link_generation_max", "0"): 5,
    }
    assert source.snapshot.processes == (GpuProcess("0", 4242, 1 << 30, None),)
    families = {family for rows in (source.snapshot.fast, source.snapshot.slow) for (family, _), _ in rows}
    assert families <= set(AMD_STAND_IN_ONLY)


def test_what_a_gpu_does_not_have_is_absent_and_not_asked_again(amd: FakeAmdsmi) -> None:
    clock = FakeClock()
    source = AmdSource(clock)
    for _ in range(3):
        source.read()
        clock.advance(1)
    assert source.snapshot is not None
    found = values(source.snapshot.fast)
    assert ("memory_busy_ratio", "1") not in found
    assert ("temperature_celsius", "1", "memory") not in found
    assert amd.calls.count("no vram sensor") == 2  # its temperature and its threshold
    assert source.failures.counts == {("amdsmi_get_temp_metric", "not_supported"): 2}


def test_a_call_that_fails_is_counted_and_the_others_go_on(amd: FakeAmdsmi) -> None:
    amd.broken["amdsmi_get_gpu_activity"] = 16
    source = AmdSource(FakeClock())
    source.read()
    assert source.snapshot is not None
    found = values(source.snapshot.fast)
    assert ("utilization_percent", "0") not in found
    assert found["memory_used_bytes", "0"] == 2 << 30
    assert source.failures.counts["amdsmi_get_gpu_activity", "16"] == 2


def test_without_a_driver_it_says_so_and_tries_again_after_a_minute(amd: FakeAmdsmi) -> None:
    amd.broken["amdsmi_init"] = 34
    clock = FakeClock()
    source = AmdSource(clock)
    source.read()
    assert source.snapshot is None
    assert source.closed_because.startswith("amdsmi finds no driver")
    clock.advance(59)
    source.read()
    assert amd.calls.count("amdsmi_init") == 1
    amd.broken.clear()
    clock.advance(1)
    source.read()
    assert source.snapshot is not None


def test_no_gpu_is_no_failure(amd: FakeAmdsmi) -> None:
    amd.handles = []
    source = AmdSource(FakeClock())
    source.read()
    assert source.closed_because == "amdsmi finds no GPU that this process may use"


def test_released_it_holds_nothing(amd: FakeAmdsmi) -> None:
    source = AmdSource(FakeClock())
    source.read()
    source.release()
    source.read()
    assert not amd.open
    assert source.snapshot is None
    source.reopen()
    source.read()
    assert source.snapshot is not None


@pytest.mark.parametrize("value", ["N/A", None, 0xFFFF, 0xFFFFFFFF, (1 << 64) - 1, True, nan, inf, [1], {}])
def test_what_stands_for_no_number_is_none(value: object) -> None:
    assert number(value) is None


def test_a_power_cap_is_in_watts_or_microwatts() -> None:
    assert watts(750_000_000) == 750
    assert watts(300) == 300
    assert watts("N/A") is None


def test_a_gpu_without_memory_of_its_own_has_that_of_the_host(
    amd: FakeAmdsmi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 60 kB\n")
    monkeypatch.setattr(
        amd, "amdsmi_get_gpu_vram_usage", lambda handle: {"vram_used": 0, "vram_total": 0}, raising=False
    )
    source = AmdSource(FakeClock(), tmp_path)
    source.read()
    assert source.snapshot is not None
    found = values(source.snapshot.fast)
    assert found["memory_unified", "0"] == 1
    assert (found["memory_total_bytes", "0"], found["memory_used_bytes", "0"]) == (102400, 40960)


@pytest.mark.parametrize(("said", "read"), [(100, 100), (101, None), (65535, None), (-1, None), ("N/A", None)])
def test_a_percentage_that_cannot_be_is_left_out(said: object, read: float | None) -> None:
    assert percent(said) == read


def test_a_gpu_whose_calls_all_fail_does_not_answer(amd: FakeAmdsmi, monkeypatch: pytest.MonkeyPatch) -> None:
    source = AmdSource(FakeClock())
    source.read()
    for name in (one for one in dir(amd) if one.startswith("amdsmi_get_") and one != "amdsmi_get_processor_handles"):
        works = getattr(amd, name)

        def fails(handle: str, *rest: object, works: Callable[..., object] = works) -> object:
            if handle == "b":
                raise amd.AmdSmiException(34)
            return works(handle, *rest)

        monkeypatch.setattr(amd, name, fails, raising=False)
    source.read()
    assert source.snapshot is not None
    assert [(card.gpu_id, card.lost) for card in source.snapshot.cards] == [("0", False), ("1", True)]


@pytest.mark.parametrize("said", ["N/A", None, [], 7])
@pytest.mark.parametrize(
    "name", [name for name in dir(FakeAmdsmi) if name.endswith(("_info", "_activity", "_count", "_usage"))]
)
def test_na_in_the_place_of_a_dictionary_costs_its_own_values_only(
    amd: FakeAmdsmi, monkeypatch: pytest.MonkeyPatch, name: str, said: object
) -> None:
    monkeypatch.setattr(amd, name, lambda handle, *rest: said, raising=False)
    source = AmdSource(FakeClock())
    source.read()
    assert source.snapshot is not None
    assert values(source.snapshot.fast)["temperature_celsius", "0", "gpu"] == 55
    assert not any(card.lost for card in source.snapshot.cards)


def test_a_process_without_an_id_or_memory_is_no_trouble(amd: FakeAmdsmi, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = [{"pid": "N/A", "memory_usage": {}}, "N/A", {"pid": 7, "memory_usage": "N/A"}]
    monkeypatch.setattr(amd, "amdsmi_get_gpu_process_list", lambda handle: processes, raising=False)
    source = AmdSource(FakeClock())
    source.read()
    assert source.snapshot is not None
    assert source.snapshot.processes[0] == GpuProcess("0", 7, None, None)


def test_a_wrapper_that_does_not_fit_its_library_costs_its_own_values_only(
    amd: FakeAmdsmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(handle: str) -> object:
        raise KeyError("vram_total")

    monkeypatch.setattr(amd, "amdsmi_get_gpu_activity", fails, raising=False)
    source = AmdSource(FakeClock())
    source.read()
    assert source.snapshot is not None
    assert values(source.snapshot.fast)["power_instant_watts", "0"] == 612
    assert source.failures.counts["amdsmi_get_gpu_activity", "KeyError"] == 2


def test_a_partition_that_does_not_tell_its_memory_has_not_the_hosts(
    amd: FakeAmdsmi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second and later partitions of an MI300X: the first has the memory of all."""
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 60 kB\n")
    told = {"a": {"vram_total": 196_592, "vram_used": 2048}, "b": {"vram_total": 0, "vram_used": 0}}
    monkeypatch.setattr(amd, "amdsmi_get_gpu_vram_usage", told.get, raising=False)
    bdf = {"a": "0000:0C:00.0", "b": "0000:0C:00.1"}
    monkeypatch.setattr(amd, "amdsmi_get_gpu_device_bdf", bdf.get, raising=False)
    source = AmdSource(FakeClock(), tmp_path)
    source.read()
    assert source.snapshot is not None
    found = values(source.snapshot.fast)
    assert found["memory_total_bytes", "0"] == 196_592 << 20
    assert not [key for key in found if key[0].startswith("memory_") and key[1] == "1" and "busy" not in key[0]]
    assert not any(key[0] == "memory_unified" for key in found)

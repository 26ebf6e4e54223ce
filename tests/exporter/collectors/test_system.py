from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from vllm_exporter.collector import Context
from vllm_exporter.collectors.system import SystemCollector, parse_meminfo, without_small_steps_back
from vllm_exporter.config import Config
from vllm_exporter.errors import NoData, SourceError


@pytest.fixture
def host(fixtures: Path, tmp_path: Path) -> Path:
    """A copy of the recorded /proc and /sys that a test may change."""
    shutil.copytree(fixtures / "proc", tmp_path / "proc")
    shutil.copytree(fixtures / "sys", tmp_path / "sys")
    return tmp_path


def collect(host: Path, clock: FakeClock, shm: str = "no-shm") -> dict[str, float]:
    """The values by the label that tells them apart, as `family{values}`."""
    collector = SystemCollector(Context(Config(), clock, host / "proc", host / "sys"), host / shm)
    return {f"{one.family.name}{{{','.join(one.values)}}}": one.value for one in collector.collect()}


def test_reads_seconds_of_cpu_by_mode_without_counting_guests_twice(host: Path, clock: FakeClock) -> None:
    prefix = "vllm_host_cpu_seconds_total{"
    values = collect(host, clock)
    assert {name[len(prefix) : -1]: value for name, value in values.items() if name.startswith(prefix)} == {
        "user": 690.32,
        "nice": 22.37,
        "system": 208.55,
        "idle": 2155.36,
        "iowait": 11.43,
        "irq": 0,
        "softirq": 3.39,
        "steal": 1.86,
    }


def test_reads_memory_and_swap_in_bytes(host: Path, clock: FakeClock) -> None:
    values = collect(host, clock)
    assert values["vllm_host_memory_total_bytes{}"] == 25276502016
    assert values["vllm_host_memory_available_bytes{}"] == 21870706688
    assert values["vllm_host_swap_total_bytes{}"] == 2147479552
    assert values["vllm_host_swap_used_bytes{}"] == 99479552  # (2097148 - 2000000) * 1024


def test_reads_the_three_windows_of_load(host: Path, clock: FakeClock) -> None:
    values = collect(host, clock)
    assert [values[f"vllm_host_load{{{window}}}"] for window in ("1m", "5m", "15m")] == [0.33, 0.63, 0.7]


def test_reads_pressure_in_seconds(host: Path, clock: FakeClock) -> None:
    values = collect(host, clock)
    assert values["vllm_host_pressure_seconds_total{cpu,some}"] == 154.326024
    assert values["vllm_host_pressure_seconds_total{memory,full}"] == 0.00001
    assert values["vllm_host_pressure_seconds_total{io,some}"] == 8.58578


def test_reads_network_bytes_of_devices_that_last(host: Path, clock: FakeClock) -> None:
    values = collect(host, clock)
    assert values["vllm_host_network_receive_bytes_total{eth0}"] == 3930269297
    assert values["vllm_host_network_transmit_bytes_total{eth0}"] == 6489078
    assert not any("veth" in name for name in values)


def test_reads_bytes_of_whole_disks_only(host: Path, clock: FakeClock) -> None:
    values = collect(host, clock)
    assert {name: value for name, value in values.items() if "disk" in name} == {
        "vllm_host_disk_read_bytes_total{vda}": 4358341632,  # 8512386 sectors of 512 bytes
        "vllm_host_disk_written_bytes_total{vda}": 16815181824,
    }


def test_reads_file_handles(host: Path, clock: FakeClock) -> None:
    values = collect(host, clock)
    assert values["vllm_host_file_descriptors_allocated{}"] == 1468
    assert values["vllm_host_file_descriptors_limit{}"] == 2466170


def test_reads_the_space_of_dev_shm(host: Path, clock: FakeClock) -> None:
    values = collect(host, clock, shm="proc")  # any directory has a size
    assert 0 < values["vllm_host_shm_free_bytes{}"] <= values["vllm_host_shm_size_bytes{}"]


def test_leaves_out_what_this_kernel_does_not_have(host: Path, clock: FakeClock) -> None:
    shutil.rmtree(host / "proc" / "pressure")
    shutil.rmtree(host / "sys" / "block")
    names = "".join(collect(host, clock))
    assert "pressure" not in names
    assert "disk" not in names
    assert "vllm_host_load" in names


def test_has_no_data_where_there_is_no_proc(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(NoData, match="not Linux, or /proc is not mounted"):
        collect(tmp_path, clock)


FILES = ("stat", "meminfo", "loadavg", "pressure/io", "sys/fs/file-nr", "net/dev", "diskstats")


@pytest.mark.parametrize("file", FILES)
def test_says_which_file_it_does_not_understand(host: Path, clock: FakeClock, file: str) -> None:
    (host / "proc" / file).write_text("a\nb\nsurprise: 1\n")
    with pytest.raises(SourceError, match=f"{file}: not what the kernel documents: 'a"):
        collect(host, clock)


def test_meminfo_skips_lines_that_are_no_bytes() -> None:
    assert parse_meminfo("MemTotal: 2 kB\nHugePages_Total: 7\n") == {"MemTotal": 2048}


def test_a_counter_does_not_go_back_a_little() -> None:
    assert without_small_steps_back({"iowait": 11.43}, {"iowait": 11.40}) == {"iowait": 11.43}


def test_a_counter_follows_when_a_cpu_was_taken_offline() -> None:
    assert without_small_steps_back({"idle": 2155.0}, {"idle": 1001.0}) == {"idle": 1001.0}

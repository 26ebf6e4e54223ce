from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.host.system_collector import SystemCollector

FILES = ("stat", "meminfo", "loadavg", "pressure/io", "sys/fs/file-nr", "net/dev", "diskstats", "vmstat", "net/snmp")


@pytest.fixture
def host(fixtures: Path, tmp_path: Path) -> Path:
    """A copy of the recorded /proc and /sys that a test may change."""
    return copy(fixtures, tmp_path, "linux-6.18")


def copy(fixtures: Path, tmp_path: Path, name: str) -> Path:
    shutil.copytree(fixtures / "hosts" / name, tmp_path / "host")
    return tmp_path / "host"


def make(host: Path, clock: FakeClock) -> SystemCollector:
    return SystemCollector(Context(Config(), clock, host / "proc", host / "sys"))


def values(collector: SystemCollector) -> dict[str, float]:
    """The values by name and labels, as `cpu_seconds_total{user}`."""
    found = samples(collector.collect())
    return {f"{one.family.name[10:]}{{{','.join(one.values)}}}": one.value for one in found}


def collect(host: Path, clock: FakeClock) -> dict[str, float]:
    return values(make(host, clock))


def only(found: dict[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def test_reads_seconds_of_cpu_by_mode_without_counting_guests_twice(host: Path, clock: FakeClock) -> None:
    assert only(collect(host, clock), "cpu_seconds_total") == {
        "{user}": 893.49,
        "{nice}": 747.47,
        "{system}": 438.03,
        "{idle}": 2124.67,
        "{iowait}": 26.77,
        "{irq}": 0,
        "{softirq}": 9.56,
        "{steal}": 6.4,
    }


def test_reads_tasks_and_load(host: Path, clock: FakeClock) -> None:
    found = collect(host, clock)
    assert found["cpus{}"] == 2
    assert found["context_switches_total{}"] == 6574976
    assert found["boot_time_seconds{}"] == 1795271508
    assert found["processes_started_total{}"] == 73346
    assert found["processes_running{}"] == 3
    assert found["processes_blocked{}"] == 0
    assert found["threads{}"] == 478
    assert only(found, "load") == {"{1m}": 1.99, "{5m}": 2.70, "{15m}": 2.08}


def test_reads_memory_in_bytes(host: Path, clock: FakeClock) -> None:
    found = collect(host, clock)
    assert found["memory_total_bytes{}"] == 24684084 * 1024
    assert found["memory_available_bytes{}"] == 22196060 * 1024
    assert found["memory_locked_bytes{}"] == 22152 * 1024
    assert found["memory_committed_bytes{}"] == 6708436 * 1024


def test_reads_swap_in_bytes(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    found = collect(copy(fixtures, tmp_path, "linux-5.4"), clock)
    assert found["swap_total_bytes{}"] == 8388604 * 1024
    assert found["swap_used_bytes{}"] == 8192 * 1024
    assert found["swap_in_bytes_total{}"] == 12 * 4096
    assert found["swap_out_bytes_total{}"] == 34 * 4096


def test_reads_pressure_in_seconds(host: Path, clock: FakeClock) -> None:
    assert only(collect(host, clock), "pressure_seconds_total") == {
        "{cpu,some}": 468.275937,
        "{cpu,full}": 0,
        "{memory,some}": 0,
        "{memory,full}": 0,
        "{io,some}": 26.371737,
        "{io,full}": 16.82715,
    }


def test_before_linux_5_13_there_is_no_full_pressure_of_cpu(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    found = collect(copy(fixtures, tmp_path, "linux-5.4"), clock)
    assert set(only(found, "pressure_seconds_total{cpu")) == {",some}"}


def test_reads_network_devices_that_last(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    found = only(collect(copy(fixtures, tmp_path, "linux-5.4"), clock), "network_")
    assert {name: value for name, value in found.items() if "{lo}" not in name} == {
        "receive_bytes_total{enp94s0f0np0}": 930269297,
        "receive_packets_total{enp94s0f0np0}": 105875,
        "receive_errors_total{enp94s0f0np0}": 1,
        "receive_dropped_total{enp94s0f0np0}": 2,
        "transmit_bytes_total{enp94s0f0np0}": 6489078,
        "transmit_packets_total{enp94s0f0np0}": 73159,
        "transmit_errors_total{enp94s0f0np0}": 3,
        "transmit_dropped_total{enp94s0f0np0}": 4,
    }


def test_a_device_that_comes_later_is_seen(host: Path, clock: FakeClock) -> None:
    collector = make(host, clock)
    assert "network_receive_bytes_total{ib0}" not in values(collector)
    with (host / "proc/net/dev").open("a") as table:
        table.write("   ib0: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n")
    assert values(collector)["network_receive_bytes_total{ib0}"] == 7


def test_reads_tcp(host: Path, clock: FakeClock) -> None:
    assert only(collect(host, clock), "tcp_") == {
        "connections{}": 30,
        "segments_sent_total{}": 319542,
        "segments_retransmitted_total{}": 17,
        "listen_drops_total{}": 0,
    }


@pytest.mark.parametrize(("kernel", "disk"), [("linux-6.18", "vda"), ("linux-5.4", "nvme0n1"), ("linux-3.10", "sda")])
def test_reads_whole_disks_only(fixtures: Path, tmp_path: Path, clock: FakeClock, kernel: str, disk: str) -> None:
    found = only(collect(copy(fixtures, tmp_path, kernel), clock), "disk_read_bytes_total")
    assert set(found) - {"{nvme10n1}"} == {f"{{{disk}}}"}


def test_reads_a_disk(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    found = only(collect(copy(fixtures, tmp_path, "linux-5.4"), clock), "disk_")
    assert {name: value for name, value in found.items() if "{nvme0n1}" in name} == {
        "reads_total{nvme0n1}": 4711,
        "read_bytes_total{nvme0n1}": 4643973 * 512,
        "read_seconds_total{nvme0n1}": 2.165,
        "writes_total{nvme0n1}": 10783,
        "written_bytes_total{nvme0n1}": 3945163 * 512,
        "write_seconds_total{nvme0n1}": 1.011,
        "busy_seconds_total{nvme0n1}": 2.227,
    }


def test_reads_file_handles(host: Path, clock: FakeClock) -> None:
    assert only(collect(host, clock), "file_descriptors") == {"_allocated{}": 2569, "_limit{}": 2466170}


def test_reads_faults_and_kills(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    found = collect(copy(fixtures, tmp_path, "linux-5.4"), clock)
    assert found["major_page_faults_total{}"] == 5678
    assert found["oom_kills_total{}"] == 2


def test_reads_numa_nodes(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    assert only(collect(copy(fixtures, tmp_path, "gpu-server"), clock), "numa_") == {
        "memory_total_bytes{0}": 1056706048 * 1024,
        "memory_free_bytes{0}": 700000000 * 1024,
        "misses_total{0}": 12624528,
        "remote_pages_total{0}": 18179487,
        "memory_total_bytes{1}": 1056706049 * 1024,
        "memory_free_bytes{1}": 800000000 * 1024,
        "misses_total{1}": 2,
        "remote_pages_total{1}": 6,
    }


def test_reads_errors_of_memory(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    assert only(collect(copy(fixtures, tmp_path, "gpu-server"), clock), "memory_errors_total") == {
        "{0,corrected}": 3,
        "{0,uncorrected}": 0,
        "{1,corrected}": 0,
        "{1,uncorrected}": 1,
    }


def test_huge_pages_are_there_only_where_some_are_set_aside(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    found = collect(copy(fixtures, tmp_path, "gpu-server"), clock)
    assert only(found, "huge_pages") == {"_total_bytes{}": 1024 * 2048 * 1024, "_free_bytes{}": 1000 * 2048 * 1024}
    shutil.rmtree(tmp_path / "host")
    assert only(collect(copy(fixtures, tmp_path, "linux-6.18"), clock), "huge_pages") == {}


def test_an_old_kernel_says_less(fixtures: Path, tmp_path: Path, clock: FakeClock) -> None:
    found = collect(copy(fixtures, tmp_path, "linux-3.10"), clock)
    assert "memory_available_bytes{}" not in found
    assert "oom_kills_total{}" not in found
    assert only(found, "pressure") == {}
    assert found["memory_free_bytes{}"] == 225472 * 1024
    assert found["swap_total_bytes{}"] == 0
    assert sum(only(found, "file_errors_total").values()) == 0


def test_has_no_data_where_there_is_no_proc(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(NoData, match="not Linux, or /proc is not mounted"):
        collect(tmp_path, clock)


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_not_understood_takes_only_its_own_series_away(
    host: Path, clock: FakeClock, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = set(collect(host, clock))
    (host / "proc" / file).write_text("a\nb\nsurprise: 1\n")
    collector = make(host, clock)
    found = values(collector)
    assert found[f"file_errors_total{{{file}}}"] == 1
    assert 0 < len(whole) - len(found) < len(whole) / 2
    clock.advance(10)
    values(collector)
    said = capsys.readouterr().err
    assert said.count("a file of the host cannot be used") == 1
    assert f"file={file}" in said
    assert "not what the kernel documents" in said


def test_a_file_that_works_again_is_back(host: Path, clock: FakeClock) -> None:
    text = (host / "proc/loadavg").read_text()
    (host / "proc/loadavg").write_text("")
    collector = make(host, clock)
    assert "load{1m}" not in values(collector)
    (host / "proc/loadavg").write_text(text)
    assert values(collector)["load{1m}"] == 1.99


def test_fails_where_nothing_can_be_used(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("surprise")
    with pytest.raises(SourceError, match=r"no file in .* can be used"):
        collect(tmp_path, clock)


def test_reads_this_host(clock: FakeClock) -> None:
    found = values(SystemCollector(Context(Config(), clock)))
    assert 0 < found["memory_free_bytes{}"] < found["memory_total_bytes{}"]
    assert sum(only(found, "file_errors_total").values()) == 0


@pytest.mark.parametrize(
    ("file", "line", "wrapped", "name"),
    [
        ("stat", "processes ", "processes -2049041839", "processes_started_total{}"),  # H01, node_exporter#1882
        ("stat", "ctxt ", "ctxt -1", "context_switches_total{}"),
        ("stat", "procs_blocked ", "procs_blocked -1", "processes_blocked{}"),
        ("vmstat", "pgmajfault ", "pgmajfault -5", "major_page_faults_total{}"),
        ("vmstat", "pgmajfault ", "pgmajfault 18446744073709551611", "major_page_faults_total{}"),
        ("stat", "processes ", "processes 18446744071660509777", "processes_started_total{}"),
    ],
)
def test_a_number_that_the_kernel_let_wrap_is_left_out_and_the_others_are_kept(
    host: Path, clock: FakeClock, file: str, line: str, wrapped: str, name: str
) -> None:
    path = host / "proc" / file
    before = collect(host, clock)
    assert name in before
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*(one for one in lines if not one.startswith(line)), wrapped, ""]))
    assert set(before) - set(collect(host, clock)) == {name}
    assert min(collect(host, clock).values()) >= 0


@pytest.mark.parametrize("line", ["", "junk", "eth9: 1 2", "\0\0"])
@pytest.mark.parametrize("file", ["net/dev", "diskstats"])
def test_a_table_with_a_line_that_is_none_costs_no_other_file(
    host: Path, clock: FakeClock, file: str, line: str
) -> None:
    before = collect(host, clock)
    with (host / "proc" / file).open("a") as table:
        table.write(line + "\n")
    kind = {"net/dev": "network_", "diskstats": "disk_"}[file]
    gone = set(before) - set(collect(host, clock))
    assert gone == {name for name in before if name.startswith(kind)}

"""The host: CPU, memory, swap, load, pressure, /dev/shm, network, disks and file handles, from /proc and statvfs.

Read directly, not by psutil: five times cheaper, the root directory can be another, and psutil knows no pressure.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from vllm_exporter.collector import Collector, Context
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.family import Sample
from vllm_exporter.names.host import (
    HOST_CPU_SECONDS_TOTAL,
    HOST_DISK_READ_BYTES_TOTAL,
    HOST_DISK_WRITTEN_BYTES_TOTAL,
    HOST_FILE_DESCRIPTORS_ALLOCATED,
    HOST_FILE_DESCRIPTORS_LIMIT,
    HOST_LOAD,
    HOST_MEMORY_AVAILABLE_BYTES,
    HOST_MEMORY_TOTAL_BYTES,
    HOST_NETWORK_RECEIVE_BYTES_TOTAL,
    HOST_NETWORK_TRANSMIT_BYTES_TOTAL,
    HOST_PRESSURE_SECONDS_TOTAL,
    HOST_SHM_FREE_BYTES,
    HOST_SHM_SIZE_BYTES,
    HOST_SWAP_TOTAL_BYTES,
    HOST_SWAP_USED_BYTES,
)

CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # guest time is in user already
TICKS = os.sysconf("SC_CLK_TCK")  # of /proc/stat per second
SECTOR = 512  # bytes; /proc/diskstats counts in these whatever the disk's own sector is
STEP_BACK = 3.0  # seconds; iowait may go back a little (proc_stat(5)); further back is a CPU taken offline
VIRTUAL_DISKS = ("loop", "ram", "zram", "fd", "sr")
VIRTUAL_DEVICES = ("veth",)  # one a container, under a new name each time: without end

Reading = Callable[[str], Iterator[Sample]]


class SystemCollector(Collector):
    """CPU, memory, load, pressure, /dev/shm, network, disks and file handles of this host."""

    metrics = (
        HOST_CPU_SECONDS_TOTAL,
        HOST_MEMORY_TOTAL_BYTES,
        HOST_MEMORY_AVAILABLE_BYTES,
        HOST_SWAP_TOTAL_BYTES,
        HOST_SWAP_USED_BYTES,
        HOST_LOAD,
        HOST_PRESSURE_SECONDS_TOTAL,
        HOST_SHM_SIZE_BYTES,
        HOST_SHM_FREE_BYTES,
        HOST_NETWORK_RECEIVE_BYTES_TOTAL,
        HOST_NETWORK_TRANSMIT_BYTES_TOTAL,
        HOST_DISK_READ_BYTES_TOTAL,
        HOST_DISK_WRITTEN_BYTES_TOTAL,
        HOST_FILE_DESCRIPTORS_ALLOCATED,
        HOST_FILE_DESCRIPTORS_LIMIT,
    )
    interval = 2.0  # twice a scrape interval of 5 s, so that no scrape sees the same values as the one before

    def __init__(self, context: Context, shm: Path = Path("/dev/shm")) -> None:
        super().__init__(context)
        self._shm = shm
        self._cpu: dict[str, float] = {}

    def collect(self) -> Iterator[Sample]:
        samples = (*self._from_proc(), *read_shm(self._shm))
        if not samples:
            raise NoData(f"nothing known is in {self.context.proc}: not Linux, or /proc is not mounted")
        yield from samples

    def _from_proc(self) -> Iterator[Sample]:
        readings: tuple[tuple[str, Reading], ...] = (
            ("stat", self._cpu_samples),
            ("meminfo", memory_samples),
            ("loadavg", load_samples),
            *((f"pressure/{resource}", pressure_reading(resource)) for resource in ("cpu", "memory", "io")),
            ("net/dev", network_samples),
            ("diskstats", self._disk_samples),
            ("sys/fs/file-nr", file_samples),
        )
        for name, samples in readings:
            yield from understood(self.context.proc / name, samples)

    def _cpu_samples(self, text: str) -> Iterator[Sample]:
        self._cpu = without_small_steps_back(self._cpu, parse_cpu(text))
        for mode, seconds in self._cpu.items():
            yield HOST_CPU_SECONDS_TOTAL.sample(seconds, mode=mode)

    def _disk_samples(self, text: str) -> Iterator[Sample]:
        for device, (read, written) in parse_disks(text, read_whole_disks(self.context.sys)).items():
            yield HOST_DISK_READ_BYTES_TOTAL.sample(read, device=device)
            yield HOST_DISK_WRITTEN_BYTES_TOTAL.sample(written, device=device)


def understood(path: Path, samples: Reading) -> Iterator[Sample]:
    """The samples of a file; none when the kernel has no such file. Raises SourceError when it reads otherwise."""
    text = read_text(path)
    if text is None:
        return
    try:
        yield from samples(text)
    except (ValueError, LookupError):
        raise SourceError(f"{path}: not what the kernel documents: {text[:80]!r}") from None


def read_text(path: Path) -> str | None:
    """The file's text; None when it is not there or, as pressure may be, switched off in the kernel."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return None
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error


def parse_cpu(text: str) -> dict[str, float]:
    """Seconds by mode, from the line of all CPUs in /proc/stat."""
    name, *ticks = text.partition("\n")[0].split()
    if name != "cpu":
        raise ValueError(name)
    return {mode: int(count) / TICKS for mode, count in zip(CPU_MODES, ticks, strict=False)}


def without_small_steps_back(old: dict[str, float], new: dict[str, float]) -> dict[str, float]:
    """The new counts, but no less than the old ones by a little: rate() would take that for a restart from 0."""
    return {mode: old[mode] if 0 < old.get(mode, 0) - seconds < STEP_BACK else seconds for mode, seconds in new.items()}


def memory_samples(text: str) -> Iterator[Sample]:
    """From /proc/meminfo."""
    memory = parse_meminfo(text)
    yield HOST_MEMORY_TOTAL_BYTES.sample(memory["MemTotal"])
    yield HOST_MEMORY_AVAILABLE_BYTES.sample(memory["MemAvailable"])
    yield HOST_SWAP_TOTAL_BYTES.sample(memory["SwapTotal"])
    yield HOST_SWAP_USED_BYTES.sample(memory["SwapTotal"] - memory["SwapFree"])


def parse_meminfo(text: str) -> dict[str, int]:
    """Bytes by name; the few lines that are counts of pages and have no unit are left out."""
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[2:] == ["kB"]}


def load_samples(text: str) -> Iterator[Sample]:
    """From /proc/loadavg."""
    for window, tasks in zip(("1m", "5m", "15m"), text.split()[:3], strict=True):
        yield HOST_LOAD.sample(float(tasks), window=window)


def pressure_reading(resource: str) -> Reading:
    """The reading of /proc/pressure/<resource>: lines `some avg10=… … total=<microseconds>` and `full …`."""

    def samples(text: str) -> Iterator[Sample]:
        for line in text.splitlines():
            kind, total = line.split()[0], line.split()[-1].removeprefix("total=")
            yield HOST_PRESSURE_SECONDS_TOTAL.sample(int(total) / 1e6, resource=resource, kind=kind)

    return samples


def read_shm(path: Path) -> Iterator[Sample]:
    """Size and free space of /dev/shm, in which vLLM's processes pass tensors; Docker gives 64 MiB unless told."""
    try:
        space = os.statvfs(path)
    except FileNotFoundError:
        return
    yield HOST_SHM_SIZE_BYTES.sample(space.f_blocks * space.f_frsize)
    yield HOST_SHM_FREE_BYTES.sample(space.f_bavail * space.f_frsize)


def network_samples(text: str) -> Iterator[Sample]:
    """From /proc/net/dev: two lines of headings, then `device: received bytes … (8 columns) sent bytes …`."""
    for line in text.splitlines()[2:]:
        name, _, counts = line.rpartition(":")
        device, columns = name.strip(), counts.split()
        if not device.startswith(VIRTUAL_DEVICES):
            yield HOST_NETWORK_RECEIVE_BYTES_TOTAL.sample(int(columns[0]), device=device)
            yield HOST_NETWORK_TRANSMIT_BYTES_TOTAL.sample(int(columns[8]), device=device)


def parse_disks(text: str, whole: frozenset[str]) -> dict[str, tuple[int, int]]:
    """Bytes read and written by whole disks (partitions would count them again), from /proc/diskstats."""
    rows = (line.split() for line in text.splitlines())
    return {
        row[2]: (int(row[5]) * SECTOR, int(row[9]) * SECTOR)
        for row in rows
        if row[2] in whole and not row[2].startswith(VIRTUAL_DISKS)
    }


def read_whole_disks(sys: Path) -> frozenset[str]:
    """The names in /sys/block, where '!' stands for the '/' in a name; none when there is no such directory."""
    try:
        return frozenset(name.replace("!", "/") for name in os.listdir(sys / "block"))
    except FileNotFoundError:
        return frozenset()


def file_samples(text: str) -> Iterator[Sample]:
    """From /proc/sys/fs/file-nr: allocated, unused (0 since Linux 2.6), limit."""
    allocated, _, limit = map(int, text.split())
    yield HOST_FILE_DESCRIPTORS_ALLOCATED.sample(allocated)
    yield HOST_FILE_DESCRIPTORS_LIMIT.sample(limit)

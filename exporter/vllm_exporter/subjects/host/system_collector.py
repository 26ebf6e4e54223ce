"""The host: CPU, memory, swap, pressure, load, network, disks, NUMA nodes and file handles, from /proc and /sys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.metrics.family import Row
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.host import cpu, disks, memory, network, nodes
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.guarded_reader import GuardedReader, file_part


class SystemCollector(Collector):
    """CPU, memory, load, pressure, network, disks and file handles of this host."""

    metrics = (
        names.HOST_CPU_SECONDS_TOTAL,
        names.HOST_CPUS,
        *cpu.COUNTS.values(),
        names.HOST_LOAD,
        names.HOST_THREADS,
        names.HOST_PRESSURE_SECONDS_TOTAL,
        *memory.FIELDS.values(),
        names.HOST_SWAP_USED_BYTES,
        names.HOST_HUGE_PAGES_TOTAL_BYTES,
        names.HOST_HUGE_PAGES_FREE_BYTES,
        *(family for family, _ in memory.VMSTAT.values()),
        *network.COUNTERS.values(),
        *network.TCP.values(),
        *(family for family, _ in disks.COUNTERS.values()),
        names.HOST_FILE_DESCRIPTORS_ALLOCATED,
        names.HOST_FILE_DESCRIPTORS_LIMIT,
        *nodes.MEMORY.values(),
        *nodes.COUNTS.values(),
        names.HOST_MEMORY_ERRORS_TOTAL,
        names.HOST_FILE_ERRORS_TOTAL,
    )
    interval = 5.0  # the usual scrape interval: counters lose nothing
    for_scrapes = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._parts = make_parts(context.proc, context.sys)

    def collect(self) -> Iterator[Row]:
        """Yields the samples. Raises NoData when there is no file, SourceError when none of the files can be used."""
        rows = [row for part in self._parts for row in part.rows()]
        if not rows:
            self._say_why()
        yield from rows
        for part in self._parts:
            yield (names.HOST_FILE_ERRORS_TOTAL, (part.file,)), part.errors

    def _say_why(self) -> None:
        proc = self.context.proc
        if any(part.there for part in self._parts):
            raise SourceError(f"no file in {proc} can be used; the log says why, for each file")
        raise NoData(f"{proc} has none of the expected files: not Linux, or /proc is not mounted")


def make_parts(proc: Path, sys: Path) -> tuple[GuardedReader, ...]:
    """Returns one reader per file, or per kind of files."""
    return (
        file_part(proc, "stat", cpu.CpuStat().rows),
        file_part(proc, "loadavg", cpu.load_rows),
        *(file_part(proc, f"pressure/{resource}", cpu.pressure_rows(resource)) for resource in cpu.RESOURCES),
        file_part(proc, "meminfo", memory.meminfo_rows),
        file_part(proc, "vmstat", memory.vmstat_rows),
        file_part(proc, "net/snmp", network.tcp_rows),
        file_part(proc, "net/netstat", network.tcp_rows),
        file_part(proc, "sys/fs/file-nr", disks.file_rows),
        GuardedReader("net/dev", partial(network.device_rows, proc)),
        GuardedReader("diskstats", partial(disks.disk_rows, proc, sys)),
        GuardedReader("devices/system/node", partial(nodes.node_rows, sys)),
        GuardedReader("devices/system/edac/mc", partial(nodes.memory_error_rows, sys)),
    )

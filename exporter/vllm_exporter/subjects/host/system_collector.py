"""The host: CPU, memory, swap, pressure, load, network, disks, NUMA nodes and file handles, from /proc and /sys.

Read directly, not by psutil: five times cheaper, the root directory can be another, and psutil knows no pressure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.metrics.family import Block, Layout
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.host import cpu, disks, memory, network
from vllm_exporter.subjects.host import families as names
from vllm_exporter.subjects.host.nodes import MemoryControllers, NumaNodes
from vllm_exporter.subjects.host.part import FilePart, Part, Section

SLOW_SECONDS = 10.0  # between two readings of what changes slowly, or costs the kernel a sum over all CPUs


class SystemCollector(Collector):
    """CPU, memory, load, pressure, network, disks and file handles of this host.

    CPU time of a run on a guest with 2 CPUs, 3 network devices and 1 disk: 47 µs in a hot loop and 150 µs with what is
    slow, every tenth; 230 to 320 µs once in a while, when caches are cold, of which 110 are to wake up.
    """

    metrics = (
        *(family for family, _ in cpu.STAT[len(cpu.MODES) - 1 :]),
        names.HOST_LOAD,
        names.HOST_THREADS,
        names.HOST_PRESSURE_SECONDS_TOTAL,
        *memory.FIELDS.values(),
        names.HOST_SWAP_USED_BYTES,
        names.HOST_HUGE_PAGES_TOTAL_BYTES,
        names.HOST_HUGE_PAGES_FREE_BYTES,
        *(family for family, _ in memory.VMSTAT.values()),
        *network.FAMILIES,
        *network.TCP.values(),
        *disks.FAMILIES,
        *(family for family, _ in disks.FILES),
        *NumaNodes.FAMILIES,
        names.HOST_MEMORY_ERRORS_TOTAL,
        names.HOST_FILE_ERRORS_TOTAL,
    )
    interval = 1.0
    blocking = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._fast = Section(fast_parts(context.proc, context.sys))
        self._slow = Section(slow_parts(context.proc, context.sys))
        self._slow_due = context.clock.monotonic()
        self._errors = Layout(()).block([])

    def collect(self) -> Iterator[Block]:
        """Raises NoData where nothing is known, SourceError where nothing that there is can be used."""
        self._fast.refresh()
        now = self.context.clock.monotonic()
        if now >= self._slow_due:
            self._slow_due = now + SLOW_SECONDS
            self._slow.refresh()
            self._count_errors()
        if not self._fast.layout.series and not self._slow.layout.series:
            self._say_why()
        yield from (self._fast.block, self._slow.block, self._errors)

    def close(self) -> None:
        for part in self._parts():
            part.close()

    def _parts(self) -> tuple[Part, ...]:
        return (*self._fast.parts, *self._slow.parts)

    def _count_errors(self) -> None:
        layout = Layout((names.HOST_FILE_ERRORS_TOTAL, (part.file,)) for part in self._parts())
        self._errors = layout.block([part.errors for part in self._parts()])

    def _say_why(self) -> None:
        proc = self.context.proc
        if any(part.there for part in self._parts()):
            raise SourceError(f"nothing in {proc} can be used; the log says of each file why")
        raise NoData(f"nothing known is in {proc}: not Linux, or /proc is not mounted")


def fast_parts(proc: Path, sys: Path) -> tuple[Part, ...]:
    """What is read each time."""
    return (
        FilePart(proc, "stat", cpu.Stat().parse, cpu.stat_series),
        FilePart(proc, "loadavg", cpu.parse_load, cpu.load_series),
        *(
            FilePart(proc, f"pressure/{resource}", cpu.parse_pressure, cpu.pressure_series(resource))
            for resource in cpu.RESOURCES
        ),
        FilePart(proc, "meminfo", memory.Meminfo().parse, memory.meminfo_series),
        FilePart(proc, "net/dev", network.Devices().parse, network.device_series),
        FilePart(proc, "diskstats", disks.Disks(sys).parse, disks.disk_series),
    )


def slow_parts(proc: Path, sys: Path) -> tuple[Part, ...]:
    """What is read every SLOW_SECONDS."""
    return (
        FilePart(proc, "vmstat", memory.parse_vmstat, memory.vmstat_series),
        FilePart(proc, "net/snmp", network.parse_tcp, network.tcp_series),
        FilePart(proc, "net/netstat", network.parse_tcp, network.tcp_series),
        FilePart(proc, "sys/fs/file-nr", disks.parse_file_nr, disks.file_series),
        NumaNodes(sys),
        MemoryControllers(sys),
    )

"""The limits that hold for each vLLM server: memory and CPU of its cgroup (v2), OOM kills, throttling, pressure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import Trees
from vllm_exporter.linux.files import read_file
from vllm_exporter.metrics.family import Row
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.host.cgroups import FAMILIES, Cgroup, parse_path
from vllm_exporter.subjects.host.guarded_reader import GuardedReader

OWN = ""  # the label `server` of the exporter's own cgroup
SERVERS = 64  # at most


class CgroupsCollector(Collector):
    """Reads one cgroup per server, and the exporter's own, whose label `server` is empty."""

    metrics = tuple(FAMILIES.values())
    interval = 5.0  # the usual scrape interval: counters lose nothing, and count each time that a limit is met
    for_scrapes = True
    turn = 1  # the processes come first

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._root = context.sys / "fs/cgroup"
        self._paths: Mapping[str, str] = {}
        self._parts: tuple[GuardedReader, ...] = ()

    def collect(self) -> Iterator[Row]:
        """Yields the samples. Raises NoData without cgroup v2."""
        if not (self._root / "cgroup.controllers").exists():
            raise NoData(f"no cgroup v2 is mounted at {self._root}; cgroup v1 is not read")
        paths = self._find_paths()
        if paths != self._paths:
            self._paths = paths
            self._parts = tuple(
                GuardedReader(f"cgroup {path}", Cgroup(server, self._root, path).rows) for server, path in paths.items()
            )
        rows = [row for part in self._parts for row in part.rows()]
        if not rows:
            raise NoData("neither a vLLM server's cgroup nor the exporter's own can be seen")
        return iter(rows)

    def _find_paths(self) -> dict[str, str]:
        """Returns the paths by server, without those that this mount does not show, which begin with '/..'."""
        proc, trees = self.context.proc, self.context.board.latest(Trees)
        mains = sorted(trees.mains().items())[:SERVERS] if trees else []
        files = {OWN: proc / "self/cgroup"} | {server: proc / str(one.ref.pid) / "cgroup" for server, one in mains}
        paths = {server: parse_path(read_file(file, 65536) or b"") for server, file in files.items()}
        return {server: path for server, path in paths.items() if path and not path.startswith("/..")}

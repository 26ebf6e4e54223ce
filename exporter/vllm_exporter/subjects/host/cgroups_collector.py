"""The limits that hold for each vLLM server: memory and CPU of its cgroup, OOM kills, throttling, pressure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import Trees
from vllm_exporter.linux.files import read_file
from vllm_exporter.metrics.family import Row
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.host.cgroups import FAMILIES, Cgroup, parse_path
from vllm_exporter.subjects.host.cgroups_v1 import CgroupV1, parse_paths
from vllm_exporter.subjects.host.guarded_reader import GuardedReader

OWN = ""  # the label `server` of the exporter's own cgroup
SERVERS = 64  # at most

Paths = Mapping[str, str | Mapping[str, str]]  # by server: in v2 one path, in v1 one for each controller


class CgroupsCollector(Collector):
    """Reads one cgroup per server, and the exporter's own, whose label `server` is empty."""

    metrics = tuple(FAMILIES.values())
    interval = 5.0  # the usual scrape interval: counters lose nothing, and count each time that a limit is met
    for_scrapes = True
    turn = 1  # the processes come first

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._root = context.sys / "fs/cgroup"
        self._paths: Paths = {}
        self._parts: tuple[GuardedReader, ...] = ()

    def collect(self) -> Iterator[Row]:
        """Yields the samples. Raises NoData without cgroups."""
        unified = (self._root / "cgroup.controllers").exists()
        if not unified and not (self._root / "memory").exists():
            raise NoData(f"no cgroup v2 is mounted at {self._root}, and no memory controller of v1")
        paths = self._find_paths(unified)
        if paths != self._paths:
            self._paths = paths
            self._parts = tuple(part for server, found in paths.items() for part in self._make_parts(server, found))
        rows = [row for part in self._parts for row in part.rows()]
        if not rows:
            where = "" if unified else f"no cgroup v2 is mounted at {self._root}, and in v1 "
            raise NoData(f"{where}neither a vLLM server's cgroup nor the exporter's own can be seen")
        return iter(rows)

    def _make_parts(self, server: str, found: str | Mapping[str, str]) -> Iterator[GuardedReader]:
        if isinstance(found, str):
            name, parts = f"cgroup {found}", Cgroup(server, self._root, found).parts()
        else:
            if server == OWN:  # a container without the host's cgroup namespace sees its own in the root's place
                found = {name: path if self._shows(name, path) else "/" for name, path in found.items()}
            name, parts = f"cgroup {server}".strip(), CgroupV1(server, self._root, found).parts()
        for part, read in parts:
            yield GuardedReader(f"{name} {part}", read)

    def _shows(self, controller: str, path: str) -> bool:
        return (self._root / controller / path.lstrip("/")).is_dir()

    def _find_paths(self, unified: bool) -> Paths:
        """Returns the paths by server, without those that this mount does not show, which begin with '/..'."""
        proc, trees = self.context.proc, self.context.board.latest(Trees)
        mains = sorted(trees.mains().items())[:SERVERS] if trees else []
        files = {OWN: proc / "self/cgroup"} | {server: proc / str(one.ref.pid) / "cgroup" for server, one in mains}
        texts = {server: read_file(file, 65536) or b"" for server, file in files.items()}
        if not unified:
            return {server: paths for server, text in texts.items() if (paths := parse_paths(text))}
        found = {server: parse_path(text) for server, text in texts.items()}
        return {server: path for server, path in found.items() if path and not path.startswith("/..")}

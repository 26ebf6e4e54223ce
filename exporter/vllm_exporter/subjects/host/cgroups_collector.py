"""The limits that hold for each vLLM server: memory and CPU of its cgroup (v2), OOM kills, throttling, pressure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vllm_exporter.errors import NoData
from vllm_exporter.facts.facts import Trees
from vllm_exporter.linux.kept_file import KeptFile
from vllm_exporter.metrics.family import Block
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.host.cgroups import FAMILIES, CgroupPart, parse_path
from vllm_exporter.subjects.host.part import Section

OWN = ""  # the label `server` of the exporter's own cgroup
SERVERS = 64  # at most


class CgroupsCollector(Collector):
    """One cgroup a server, and the exporter's own, of which the label `server` is empty.

    CPU time of a run for the exporter and one server in a pod: 75 µs in a hot loop, 350 to 600 µs when caches are cold.
    """

    metrics = tuple(FAMILIES.values())
    interval = 5.0  # the usual scrape interval: counters lose nothing, and a limit is not met in between unseen
    turn = 1  # the processes come first
    blocking = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._root = context.sys / "fs/cgroup"
        self._controllers = KeptFile(self._root / "cgroup.controllers")
        self._section = Section(())

    def collect(self) -> Iterator[Block]:
        """Raises NoData where there is no cgroup v2."""
        if self._controllers.read() is None:
            raise NoData(f"no cgroup v2 is mounted at {self._root}; of cgroup v1 nothing is read")
        paths = self._paths()
        if paths != {part.server: part.path for part in self._members()}:
            self._change(paths)
        self._section.refresh()
        if not self._section.layout.series:
            raise NoData("no cgroup of a vLLM server can be seen, nor the exporter's own")
        yield self._section.block

    def close(self) -> None:
        self._controllers.close()
        self._change({})

    def _members(self) -> list[CgroupPart]:
        return [part for part in self._section.parts if isinstance(part, CgroupPart)]

    def _paths(self) -> dict[str, str]:
        """By server; without those that are outside what this mount shows, which begin with '/..'."""
        own = self.context.proc / "self/cgroup"
        trees = self.context.board.latest(Trees)
        pids = sorted(trees.first_pids().items())[:SERVERS] if trees else []
        files = {OWN: own} | {server: self.context.proc / str(pid) / "cgroup" for server, pid in pids}
        paths = {server: read_path(file) for server, file in files.items()}
        return {server: path for server, path in paths.items() if path and not path.startswith("/..")}

    def _change(self, paths: Mapping[str, str]) -> None:
        kept = {part.server: part for part in self._members() if paths.get(part.server) == part.path}
        for part in self._members():
            if part.server not in kept:
                part.close()
        made = (kept.get(server) or CgroupPart(server, self._root, path) for server, path in paths.items())
        self._section = Section(tuple(made))


def read_path(file: Path) -> str | None:
    """The path in /proc/<pid>/cgroup; None when the process is gone, or is in no cgroup v2."""
    kept = KeptFile(file)
    try:
        data = kept.read()
    finally:
        kept.close()
    return parse_path(data) if data else None

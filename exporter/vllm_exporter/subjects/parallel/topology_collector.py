"""Connections of GPUs, network cards and processors, the place of each rank, and ranks that are placed badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import RankMisplaced
from vllm_exporter.facts.facts import GpuLink, GpuLinks, Gpus, Trees
from vllm_exporter.facts.ranks import parse_rank
from vllm_exporter.facts.values import LinkLevel
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Row, Sample
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.subjects.parallel import families as names
from vllm_exporter.subjects.parallel.affinity import REASONS, Mistake, RankPlacement, find_mistakes
from vllm_exporter.subjects.parallel.infiniband import LANE, WAIT, Port, read_counters, read_links, read_ports
from vllm_exporter.subjects.parallel.parallel_ranks import full_rank
from vllm_exporter.subjects.parallel.sysfs import read_allowed, read_fingerprint, read_host
from vllm_exporter.subjects.parallel.topology import HostTopology, gpu_pairs, nearest_nics, normal_address, number_gpus

STATIC_SECONDS = 60.0  # between two checks whether a device has come or gone
BOARD_AGE = 120.0  # seconds for which facts of other collectors are good enough: the place of a rank rarely changes

BYTES = {
    "port_rcv_data": names.INFINIBAND_RECEIVED_BYTES_TOTAL,
    "port_xmit_data": names.INFINIBAND_TRANSMITTED_BYTES_TOTAL,
}


@dataclass(frozen=True)
class TopologyInputs:
    """The facts of other collectors that matter here: everything is computed anew when they change."""

    gpu_ids: tuple[tuple[str, str], ...] = ()  # PCI address to gpu_id
    links: GpuLinks | None = None  # None: the driver was not asked
    ranks: tuple[tuple[str, str, int, str], ...] = ()  # server, rank, pid, gpu_id


class TopologyCollector(Collector):
    """Reads InfiniBand counters at each run; devices and places of ranks each minute, or when facts change."""

    metrics = (
        names.TOPOLOGY_NUMA_NODE_CPUS,
        names.TOPOLOGY_GPU_NUMA_NODE,
        names.TOPOLOGY_GPU_LINK_INFO,
        names.TOPOLOGY_GPU_NVLINKS,
        names.TOPOLOGY_GPU_NIC_INFO,
        names.TOPOLOGY_RANK_INFO,
        names.TOPOLOGY_MISTAKES,
        names.TOPOLOGY_MISTAKE_INFO,
        names.INFINIBAND_PORT_ACTIVE,
        names.INFINIBAND_PORT_RATE_BYTES_PER_SECOND,
        names.INFINIBAND_RECEIVED_BYTES_TOTAL,
        names.INFINIBAND_TRANSMITTED_BYTES_TOTAL,
        names.INFINIBAND_TRANSMIT_WAITS_TOTAL,
        names.INFINIBAND_ERRORS_TOTAL,
        names.NETWORK_LINK_UP,
        names.NETWORK_LINK_SPEED_BYTES_PER_SECOND,
    )
    interval = 5.0  # of the counters of InfiniBand, as often as they are scraped; the rest is read each minute
    for_scrapes = True
    turn = 2  # processes and GPUs come first

    def __init__(self, context: Context, read_allowed: Callable[[int], frozenset[int] | None] = read_allowed) -> None:
        super().__init__(context)
        self._read_allowed = read_allowed
        self._fingerprint: tuple[tuple[str, ...], ...] = ()
        self._host = HostTopology({}, (), ())
        self._looked = float("-inf")
        self._seen = TopologyInputs()
        self._ports: tuple[Port, ...] = ()
        self._static: tuple[Sample, ...] = ()  # of devices
        self._links: tuple[Sample, ...] = ()  # of ports and network devices: may go up and down
        self._placed: tuple[Sample, ...] = ()  # of ranks
        self._known: set[Mistake] = set()

    def collect(self) -> Iterator[Row]:
        now = self.context.clock.monotonic()
        due = now - self._looked >= STATIC_SECONDS
        changed = due and self._look_at_host()
        seen = self._look_at_board()
        if due or seen != self._seen:
            self._look_at_ranks(seen)
        if changed or seen != self._seen:
            self._static = tuple(host_samples(self._host, seen))
        if due:
            self._links, self._looked = tuple(link_samples(self.context)), now
        self._seen = seen
        if not (self._static or self._links):
            raise NoData(f"{self.context.sys} has no NUMA node, no GPU and no network card")
        yield from (*self._static, *self._links, *self._placed)
        for port in self._ports:
            yield from counter_samples(self.context.sys, port)

    def _look_at_host(self) -> bool:
        """Reads the host. Returns True when a device has come or gone."""
        fingerprint = read_fingerprint(self.context.sys)
        if fingerprint == self._fingerprint:
            return False
        self._host, self._ports = read_host(self.context.sys), tuple(read_ports(self.context.sys))
        self._fingerprint = fingerprint
        return True

    def _look_at_board(self) -> TopologyInputs:
        gpus = self.context.board.latest(Gpus, BOARD_AGE)
        trees = self.context.board.latest(Trees, BOARD_AGE)
        cards = gpus.gpus if gpus is not None else ()
        on = {pid: card.gpu_id for card in cards for pid in card.pids or ()}
        processes = trees.processes if trees is not None else {}
        ranks = [
            (one.server, full_rank(one, processes), pid, on.get(pid, ""))
            for pid, one in processes.items()
            if one.role in ("worker", "engine_core") and (pid in on or one.role == "worker")
        ]
        ids = tuple((normal_address(card.pci_address), card.gpu_id) for card in cards if card.pci_address)
        return TopologyInputs(ids, self.context.board.latest(GpuLinks, float("inf")), tuple(sorted(ranks)))

    def _look_at_ranks(self, seen: TopologyInputs) -> None:
        """Finds the ranks' places, each minute too: a rank may have been given other CPUs."""
        at = {gpu_id: address for address, gpu_id in number_gpus(self._host, dict(seen.gpu_ids)).items()}
        gpus = {gpu.address: gpu for gpu in self._host.gpus}
        placed = [
            RankPlacement(server, rank, pid, gpus.get(at.get(gpu_id, "")), gpu_id, self._read_allowed(pid))
            for server, rank, pid, gpu_id in seen.ranks
        ]
        links = seen.links.links if seen.links else ()
        apart = frozenset(frozenset((one.gpu_id, one.peer)) for one in links if one.linked is False)
        mistakes = find_mistakes(placed, self._host, apart)
        self._tell(set(mistakes))
        self._placed = (*rank_samples(placed), *mistake_samples(placed, mistakes))

    def _tell(self, mistakes: set[Mistake]) -> None:
        for one in sorted(mistakes - self._known, key=lambda one: (one.server, one.rank, one.reason)):
            summary = f"rank {one.rank or '0'} of {one.server or 'an unknown server'} {one.words}"
            self.context.bus.emit(
                RankMisplaced(
                    severity="warning",
                    summary=summary,
                    server=one.server,
                    rank=one.rank,
                    gpu_id=one.gpu_id,
                    reason=one.reason,
                )
            )
            log("warning", "a rank is placed badly", server=one.server, detail=summary)
        self._known = mistakes


def host_samples(host: HostTopology, seen: TopologyInputs) -> Iterator[Sample]:
    """Yields the samples that change only when a device comes or goes."""
    for node, cpus in host.nodes.items():
        yield names.TOPOLOGY_NUMA_NODE_CPUS.sample(len(cpus), node=str(node))
    ids = number_gpus(host, dict(seen.gpu_ids))
    for gpu in host.gpus:
        gpu_id = ids[gpu.address]
        if gpu.node is not None:
            yield names.TOPOLOGY_GPU_NUMA_NODE.sample(gpu.node, gpu_id=gpu_id, pci_address=gpu.address)
        for nic, level in nearest_nics(gpu, host).items():
            yield names.TOPOLOGY_GPU_NIC_INFO.sample(1, gpu_id=gpu_id, nic=nic, link=level)
    yield from pair_samples(host, ids, seen.links)


def pair_samples(host: HostTopology, ids: dict[str, str], links: GpuLinks | None) -> Iterator[Sample]:
    """Yields the matrix: NVLink, where there is one, instead of the way over PCIe."""
    told = {frozenset((one.gpu_id, one.peer)): one for one in (links.links if links else ())}
    levels = gpu_pairs(host)
    for a, b in combinations((gpu.address for gpu in host.gpus), 2):
        one = told.get(frozenset((ids[a], ids[b])))
        if link := name_link(one, levels.get((a, b))):
            yield names.TOPOLOGY_GPU_LINK_INFO.sample(1, gpu_id=ids[a], peer=ids[b], link=link)
        if one is not None and one.nvlinks is not None:
            yield names.TOPOLOGY_GPU_NVLINKS.sample(one.nvlinks, gpu_id=ids[a], peer=ids[b])


def name_link(told: GpuLink | None, level: LinkLevel | None) -> str:
    """Returns 'NV18', or 'NV' without a known number; without NVLink the way over PCIe, '' when not known either.

    `level` is from sysfs. The driver knows more in a virtual machine whose firmware names no NUMA nodes.
    """
    if told is None:
        return level or ""
    return f"NV{told.nvlinks or ''}" if told.linked else level or told.level or ""


def link_samples(context: Context) -> Iterator[Sample]:
    """Yields the state of ports and links."""
    for port in read_ports(context.sys):
        at = {"device": port.device, "port": port.port}
        yield names.INFINIBAND_PORT_ACTIVE.sample(port.active, **at)
        if port.rate is not None:
            yield names.INFINIBAND_PORT_RATE_BYTES_PER_SECOND.sample(port.rate, **at)
    for link in read_links(context.sys):
        yield names.NETWORK_LINK_UP.sample(link.up, device=link.device)
        if link.speed is not None:
            yield names.NETWORK_LINK_SPEED_BYTES_PER_SECOND.sample(link.speed, device=link.device)


def counter_samples(sys: Path, port: Port) -> Iterator[Sample]:
    at = {"device": port.device, "port": port.port}
    for name, count in read_counters(sys, port.device, port.port).items():
        if name in BYTES:
            yield BYTES[name].sample(LANE * count, **at)
        elif name == WAIT:
            yield names.INFINIBAND_TRANSMIT_WAITS_TOTAL.sample(count, **at)
        else:
            yield names.INFINIBAND_ERRORS_TOTAL.sample(count, **at, error=name)


def rank_samples(placed: list[RankPlacement]) -> Iterator[Sample]:
    """Yields the ranks with a GPU."""
    for one in placed:
        if one.gpu_id:
            numbers = {short: str(number) for short, number in parse_rank(one.rank).items()}
            yield names.TOPOLOGY_RANK_INFO.sample(
                1,
                server=one.server,
                rank=one.rank,
                gpu_id=one.gpu_id,
                tensor=numbers.get("TP", ""),
                pipeline=numbers.get("PP", ""),
                data=numbers.get("DP", ""),
                expert=numbers.get("EP", ""),
            )


def mistake_samples(placed: list[RankPlacement], mistakes: list[Mistake]) -> Iterator[Sample]:
    """Yields the mistakes, and 0 for servers that were checked: those with a rank whose GPU was found."""
    for server in sorted({one.server for one in placed if one.gpu is not None}):
        for reason in REASONS:
            count = sum(1 for one in mistakes if (one.server, one.reason) == (server, reason))
            yield names.TOPOLOGY_MISTAKES.sample(count, server=server, reason=reason)
    for one in mistakes:
        yield names.TOPOLOGY_MISTAKE_INFO.sample(
            1, server=one.server, rank=one.rank, gpu_id=one.gpu_id, reason=one.reason
        )

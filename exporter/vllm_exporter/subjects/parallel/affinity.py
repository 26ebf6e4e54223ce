"""Finds mistakes in the placement of ranks, by their cost. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from vllm_exporter.facts.ranks import step_group
from vllm_exporter.subjects.parallel.topology import HostTopology, PciDevice, nearest, nearest_nics


@dataclass(frozen=True)
class RankPlacement:
    """A rank and where it runs."""

    server: str
    rank: str
    pid: int
    gpu: PciDevice | None  # None: it has no GPU of its own
    gpu_id: str = ""
    cpus: frozenset[int] | None = None  # CPUs on which it may run; None: not known


Apart = frozenset[frozenset[str]]  # pairs of GPU ids that no NVLink connects, as the driver reports

MistakeReason = Literal["cpus_on_other_node", "no_nic_on_node", "tensor_group_across_nodes"]
REASONS: tuple[MistakeReason, ...] = ("cpus_on_other_node", "no_nic_on_node", "tensor_group_across_nodes")


@dataclass(frozen=True)
class Mistake:
    """A rank that could be placed better, for speed."""

    server: str
    rank: str
    gpu_id: str
    reason: MistakeReason
    words: str


def find_mistakes(placed: Iterable[RankPlacement], host: HostTopology, apart: Apart) -> list[Mistake]:
    """Returns the mistakes. A tensor group whose GPUs are not in `apart` has none: they are linked, or nobody knows."""
    groups: dict[tuple[str, str], list[RankPlacement]] = defaultdict(list)
    found: list[Mistake] = []
    for one in placed:
        groups[one.server, step_group(one.rank)].append(one)
        found += [mistake for mistake in (_cpus(one, host), _nic(one, host)) if mistake]
    return found + [mistake for ranks in groups.values() for mistake in _group(ranks, apart)]


def _cpus(one: RankPlacement, host: HostTopology) -> Mistake | None:
    """Finds a rank that is allowed on no CPU of its GPU's node: each copy to the GPU crosses the sockets."""
    if one.gpu is None or one.gpu.node is None or one.cpus is None:
        return None
    own = host.nodes.get(one.gpu.node)
    if not own or one.cpus & own:
        return None
    words = f"may run on no CPU of NUMA node {one.gpu.node}, where its GPU {one.gpu_id} is"
    return Mistake(one.server, one.rank, one.gpu_id, "cpus_on_other_node", words)


def _nic(one: RankPlacement, host: HostTopology) -> Mistake | None:
    """Finds a GPU whose network cards, as far as their place is known, are all at another node."""
    if one.gpu is None:
        return None
    levels = nearest_nics(one.gpu, host)
    if not levels or nearest(levels.values()) != "SYS":
        return None
    words = f"GPU {one.gpu_id} is at NUMA node {one.gpu.node}, all of {', '.join(sorted(levels))} are at others"
    return Mistake(one.server, one.rank, one.gpu_id, "no_nic_on_node", words)


def _group(ranks: Sequence[RankPlacement], apart: Apart) -> list[Mistake]:
    """Finds ranks that reach another one only over the link between the sockets: all-reduce uses it at each layer."""
    return [mistake for one in ranks if (mistake := _far(one, ranks, apart))]


def _far(one: RankPlacement, ranks: Sequence[RankPlacement], apart: Apart) -> Mistake | None:
    for other in ranks:
        if one.gpu is None or other.gpu is None or None in (one.gpu.node, other.gpu.node):
            continue
        if one.gpu.node != other.gpu.node and frozenset((one.gpu_id, other.gpu_id)) in apart:
            words = (
                f"shares its steps with GPU {other.gpu_id} at another NUMA node, and there is no NVLink between them"
            )
            return Mistake(one.server, one.rank, one.gpu_id, "tensor_group_across_nodes", words)
    return None

"""Makes samples and facts from readings of GPUs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from vllm_exporter.facts.facts import GpuSight, Trees
from vllm_exporter.facts.xids import classify
from vllm_exporter.metrics.family import Family, Row, Sample
from vllm_exporter.subjects.gpu import families as names
from vllm_exporter.subjects.gpu.source import Card, GpuProcess, GpuSnapshot
from vllm_exporter.subjects.gpu.xids import XidCount


@dataclass(frozen=True)
class ReadingHealth:
    """The state of the readings themselves."""

    hung: bool
    age: float | None  # seconds since the last reading; None: there is none
    fast_seconds: float
    slow_seconds: float
    cards: tuple[Card, ...]
    failures: Mapping[tuple[str, str], int]
    xids: Mapping[tuple[str, int], XidCount]
    kernel: Mapping[tuple[str, str], int]  # other lines about GPUs in the kernel's log, by kind and severity


def health_rows(health: ReadingHealth) -> Iterator[Row]:
    yield (names.GPU_DRIVER_HUNG, ()), health.hung
    if health.age is not None:
        yield (names.GPU_SNAPSHOT_AGE_SECONDS, ()), health.age
        yield (names.GPU_READ_SECONDS, ("fast",)), health.fast_seconds
        yield (names.GPU_READ_SECONDS, ("slow",)), health.slow_seconds
    for card in health.cards:
        yield (names.GPU_LOST, (card.gpu_id, card.uuid)), card.lost
    for key, count in health.failures.items():
        yield (names.GPU_NVML_ERRORS_TOTAL, key), count
    for key, count in health.kernel.items():
        yield (names.GPU_KERNEL_ERRORS_TOTAL, key), count
    for (gpu_id, xid), seen in health.xids.items():
        yield (names.GPU_XID_ERRORS_TOTAL, (gpu_id, str(xid), classify(xid)[0])), seen.count
        yield (names.GPU_XID_LAST_SEEN_TIMESTAMP_SECONDS, (gpu_id, str(xid))), seen.last_seen


def join(processes: Iterable[GpuProcess], trees: Trees | None) -> Iterator[Sample]:
    """Yields processes by vLLM's role and rank; others, and all when vLLM's are not known, have the role ''."""
    found: dict[tuple[str, str, str, str], list[GpuProcess]] = {}
    for process in processes:
        known = trees.processes.get(process.pid) if trees else None
        who = (known.server, known.role, known.rank) if known else ("", "", "")
        found.setdefault((process.gpu_id, *who), []).append(process)
    for (gpu_id, server, role, rank), members in sorted(found.items()):
        labels = {"gpu_id": gpu_id, "server": server, "role": role, "rank": rank}
        yield names.GPU_PROCESSES.sample(len(members), **labels)
        memory = [one.memory for one in members if one.memory is not None]
        if memory:
            yield names.GPU_PROCESS_MEMORY_BYTES.sample(sum(memory), **labels)
        shares = [one.sm for one in members if one.sm is not None]
        if shares:
            yield names.GPU_PROCESS_SM_RATIO.sample(sum(shares), **labels)


SIGHT_FAMILIES: dict[str, tuple[Family, str]] = {
    "utilization": (names.GPU_UTILIZATION_PERCENT, ""),
    "memory_used": (names.GPU_MEMORY_USED_BYTES, ""),
    "memory_total": (names.GPU_MEMORY_TOTAL_BYTES, ""),
    "temperature": (names.GPU_TEMPERATURE_CELSIUS, "gpu"),
}


def make_sights(snapshot: GpuSnapshot) -> Iterator[GpuSight]:
    """Yields the fact about each GPU for other collectors."""
    numbers = {(family.name, *values): number for (family, values), number in snapshot.fast}
    pids: dict[str, dict[int, int]] = {}
    for process in snapshot.processes:
        pids.setdefault(process.gpu_id, {})[process.pid] = process.memory or 0
    for card in snapshot.cards:
        found = {
            # The index of a lost GPU may be another's by now, and so would be the numbers.
            name: None if card.lost else numbers.get((family.name, card.gpu_id, *([label] if label else [])))
            for name, (family, label) in SIGHT_FAMILIES.items()
        }
        percent, used, total = found["utilization"], found["memory_used"], found["memory_total"]
        yield GpuSight(
            gpu_id=card.gpu_id,
            uuid=card.uuid,
            name=card.name,
            lost=card.lost,
            utilization=None if percent is None else percent / 100,
            memory_used=None if used is None else int(used),
            memory_total=None if total is None else int(total),
            temperature=found["temperature"],
            pci_address=card.pci_address,
            pids=pids.get(card.gpu_id, {}) if not card.lost else None,
        )

"""Finds the processes that are ranks of a server, and those that can be compared. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from vllm_exporter.config.config import TargetConfig, find_server
from vllm_exporter.errors import ConfigError
from vllm_exporter.facts.facts import RankSteps, VllmProcess
from vllm_exporter.facts.ranks import step_group

PD_ROLES = ("prefill", "decode")

Rank = tuple[str, str]  # server and rank


def choose_ranks(processes: Iterable[VllmProcess]) -> dict[Rank, VllmProcess]:
    """Returns the processes that compute: workers, or engines without any. Of those that share a name the youngest."""
    by_pid = {one.ref.pid: one for one in processes}
    living = sorted((one for one in by_pid.values() if not one.orphan), key=lambda one: one.ref.start)
    workers = {one.server for one in living if one.role == "worker"}
    return {
        (one.server, full_rank(one, by_pid)): one
        for one in living
        if one.role == "worker" or (one.role == "engine_core" and one.server not in workers)
    }


def full_rank(process: VllmProcess, by_pid: Mapping[int, VllmProcess]) -> str:
    """Returns the rank with the replica of the engine above it: replicas of a model without experts are independent, so
    their workers do not know of each other and all have the same title (v1/engine/core.py of vLLM 0.32)."""
    parent = by_pid.get(process.ppid)
    if process.role != "worker" or parent is None or parent.role != "engine_core" or not parent.rank:
        return process.rank
    above = [part for part in parent.rank.split("_") if part.startswith("DP") and part not in process.rank.split("_")]
    return "_".join([*above, process.rank] if process.rank else above)


def count_servers(ranks: Iterable[Rank]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for server, _ in ranks:
        counts[server] += 1
    return dict(counts)


def peer_groups(ranks: Iterable[Rank]) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yields server, ranks to compare, and True if they compute each step together: a tensor group, else all ranks."""
    steps: dict[Rank, list[str]] = defaultdict(list)
    alone: dict[str, list[str]] = defaultdict(list)
    for server, rank in ranks:
        steps[server, step_group(rank)].append(rank)
    for (server, _), group in steps.items():
        if len(group) > 1:
            yield server, tuple(group), True
        else:
            alone[server] += group
    for server, group in alone.items():
        yield server, tuple(group), False


def own_seconds(steps: RankSteps) -> float:
    """Returns seconds in steps without waiting for others: with it, all ranks of a group take equally long."""
    if steps.compute is not None:
        return steps.compute
    return steps.seconds - (steps.sync or 0.0)


def parse_roles(given: Iterable[str], targets: Collection[TargetConfig]) -> dict[str, str]:
    """Returns server to role, from 'gpu1:8000=prefill': the server as in labels, or as its target is written.

    Raises ConfigError.
    """
    return dict(parse_role(text, targets) for text in given)


def parse_role(text: str, targets: Collection[TargetConfig]) -> tuple[str, str]:
    """Parses one of the roles. Raises ConfigError."""
    name, _, role = text.rpartition("=")
    if role not in PD_ROLES:
        raise ConfigError(
            f"collectors.distributed.roles: {text!r} is not <server>=<role>; roles: {', '.join(PD_ROLES)}"
        )
    return find_server(name, targets, f"collectors.distributed.roles: {text!r}"), role

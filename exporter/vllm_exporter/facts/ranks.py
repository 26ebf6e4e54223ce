"""Ranks of a parallel group, as process titles have them: 'DP0_PP1_TP3'. Pure.

Titles of vLLM 0.32 name a kind of parallelism only where its size is above 1 (v1/executor/multiproc_executor.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

KINDS: Mapping[str, str] = {
    "TP": "tensor",
    "PP": "pipeline",
    "DP": "data",
    "EP": "expert",
    "PCP": "prefill_context",
    "DCP": "decode_context",
}
_APART = ("DP", "PP")  # ranks that differ in these compute other requests or other layers, not the same step
_PART = re.compile(r"([A-Z]{2,3})(\d{1,6})")


def parse_rank(rank: str) -> dict[str, int]:
    """Returns the rank of each kind that the title names; {} when it names none."""
    parts = (_PART.fullmatch(part) for part in rank.split("_"))
    return {part[1]: int(part[2]) for part in parts if part and part[1] in KINDS}


def count_ranks(ranks: Iterable[str]) -> dict[str, int]:
    """Returns kind to size, by the highest rank seen on this host; 1 for a kind that no rank names."""
    sizes = dict.fromkeys(KINDS.values(), 1)
    for rank in ranks:
        for short, number in parse_rank(rank).items():
            sizes[KINDS[short]] = max(sizes[KINDS[short]], number + 1)
    return sizes


def step_group(rank: str) -> str:
    """Returns the part that ranks of one step share: 'DP0_PP1' of 'DP0_PP1_TP3'; '' when there is one group."""
    return "_".join(part for part in rank.split("_") if part.startswith(_APART))

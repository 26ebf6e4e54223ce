"""Keeps what ended processes counted in a file, so that a restart of the exporter takes nothing from the sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vllm_exporter.state import replace_file
from vllm_exporter.subjects.inside.format import Identity
from vllm_exporter.subjects.inside.sums import Kept, Key

VERSION = 1


@dataclass(frozen=True)
class Base:
    """`folded` are the processes that are in the sums already, though their files may still be there."""

    sums: Mapping[Key, Kept] = field(default_factory=dict)
    folded: frozenset[Identity] = frozenset()


def read_base(path: Path) -> Base:
    """An empty one when there is no file. Raises ValueError when there is one that makes no sense, OSError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Base()
    return parse_base(text)


def parse_base(text: bytes) -> Base:
    """Raises ValueError saying what is wrong."""
    import json  # only who has seen a process end pays for it

    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']!r}, expected {VERSION}")
        sums = dict(_parse_sum(item) for item in data["sums"])
        folded = frozenset(
            Identity(str(boot), int(space), int(pid), int(start)) for boot, space, pid, start in data["folded"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return Base(sums, folded)


def format_base(sums: Mapping[Key, Kept], folded: Iterable[Identity]) -> bytes:
    import json

    items = [[name, labels, kept.kind, kept.bounds, kept.numbers] for (name, labels), kept in sums.items()]
    ids = [[one.boot, one.namespace, one.pid, one.start] for one in folded]
    return json.dumps({"version": VERSION, "sums": items, "folded": ids}).encode() + b"\n"


def write_base(path: Path, sums: Mapping[Key, Kept], folded: Iterable[Identity]) -> None:
    """Replaces the file as a whole. Raises OSError."""
    replace_file(path, format_base(sums, folded))


def _parse_sum(item: Any) -> tuple[Key, Kept]:
    name, labels, kind, bounds, numbers = item
    if kind not in ("counter", "histogram"):
        raise ValueError(f"unknown kind {kind!r}")
    kept = Kept(kind, tuple(float(one) for one in bounds), tuple(float(one) for one in numbers))
    if len(kept.numbers) != (len(kept.bounds) + 2 if kind == "histogram" else 1):
        raise ValueError(f"{name}: {len(kept.numbers)} numbers")
    return (str(name), tuple(str(one) for one in labels)), kept

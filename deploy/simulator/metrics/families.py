"""The metrics of vLLM 0.32.0: families.json, taken from a real server's text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).with_name("families.json")


@dataclass(frozen=True)
class Family:
    """One family. Label names are sorted, as they stand in the text."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of the label that is not the server's own
    buckets: tuple[float, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)  # labels that are the same on each server

    @property
    def has_created(self) -> bool:
        return self.type != "gauge"


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """Returns the families in the order of the text."""
    return parse_families(SOURCE.read_text(encoding="utf-8"))


def parse_families(text: str) -> tuple[Family, ...]:
    return tuple(
        Family(
            name=entry["name"],
            type=entry["type"],
            help=entry["help"],
            labels=tuple(entry.get("labels", ())),
            values={label: tuple(values) for label, values in entry.get("values", {}).items()},
            buckets=tuple(entry.get("buckets", ())),
            fixed=entry.get("fixed", {}),
        )
        for entry in json.loads(text)["families"]
    )

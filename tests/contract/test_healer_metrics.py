"""Each of the healer's metrics is in the table that says what to ask of it, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

from vllm_healer.metrics import HealerMetrics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "healer-metrics.md"


def published() -> set[str]:
    families = HealerMetrics().registry.collect()
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


def test_the_page_has_each_metric_with_something_to_ask() -> None:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows)
    named = {name for row in rows for name in re.findall(r"`(vllm_healer_\w+)", row[0])}
    assert named == published()

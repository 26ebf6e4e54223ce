"""What collectors yield, by names."""

from __future__ import annotations

from collections.abc import Iterable

from vllm_exporter.metrics.family import Row, Sample


def samples(rows: Iterable[Row]) -> list[Sample]:
    return [Sample(*row) for row in rows]

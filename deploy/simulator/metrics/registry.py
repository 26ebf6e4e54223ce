"""All families of one server: their cells, and the text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TypeVar

from deploy.simulator.metrics.cells import Cell, Histogram, Number, Summary, label_text, number_text
from deploy.simulator.metrics.families import Family, families

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

C = TypeVar("C", Number, Summary, Histogram)


class Registry:
    """The engine's cells exist from the start, those of HTTP come with the first request, as in vLLM."""

    def __init__(self, model: str, cache_labels: Mapping[str, str]) -> None:
        self._own = {"engine": "0", "model_name": model}
        self._families = families()
        self._by_name = {family.name: family for family in self._families}
        self._cells: dict[str, dict[tuple[str, ...], Cell]] = {family.name: {} for family in self._families}
        self._cache_labels = cache_labels
        for family in self._families:
            self._create_all(family)
        self.number("vllm:cache_config_info").value = 1.0

    def number(self, name: str, *values: str) -> Number:
        return self._cell(Number, name, values)

    def summary(self, name: str, *values: str) -> Summary:
        return self._cell(Summary, name, values)

    def histogram(self, name: str, *values: str) -> Histogram:
        return self._cell(Histogram, name, values)

    def text(self) -> Iterator[str]:
        """The lines."""
        for family in self._families:
            yield f"# HELP {family.name} {family.help}"
            yield f"# TYPE {family.name} {family.type}"
            cells = self._cells[family.name]
            for cell in cells.values():
                yield from cell.lines()
            if cells and family.has_created:
                yield from self._created(family, cells)

    def _created(self, family: Family, cells: Mapping[tuple[str, ...], Cell]) -> Iterator[str]:
        name = family.name.removesuffix("_total") if family.type == "counter" else family.name
        yield f"# HELP {name}_created {family.help}"
        yield f"# TYPE {name}_created gauge"
        for values, cell in cells.items():
            yield f"{name}_created{label_text(self._labels(family, values))} {number_text(cell.created)}"

    def _create_all(self, family: Family) -> None:
        """Creates the series whose label values are known beforehand."""
        if family.name.startswith("http_") and family.labels:
            return
        if not family.values:
            self._new(family, ())
        for values in family.values.values():
            for value in values:
                self._new(family, (value,))

    def _cell(self, kind: type[C], name: str, values: tuple[str, ...]) -> C:
        cell = self._cells[name].get(values) or self._new(self._by_name[name], values)
        assert isinstance(cell, kind), f"{name} is a {self._by_name[name].type}"
        return cell

    def _new(self, family: Family, values: tuple[str, ...]) -> Cell:
        labels, now = self._labels(family, values), time.time()
        cell: Cell
        if family.type == "histogram":
            cell = Histogram(family.name, labels, now, family.buckets)
        elif family.type == "summary":
            cell = Summary(family.name, labels, now)
        else:
            cell = Number(family.name, labels, now)
        self._cells[family.name][values] = cell
        return cell

    def _labels(self, family: Family, values: tuple[str, ...]) -> dict[str, str]:
        """`values` are those of the labels that are not the server's own, in the order of their names."""
        own = {name: value for name, value in self._own.items() if name in family.labels}
        rest = [name for name in family.labels if name not in own]
        cache = {name: self._cache_labels.get(name, value) for name, value in family.fixed.items()}
        return {**own, **cache, **dict(zip(rest, values, strict=True))}

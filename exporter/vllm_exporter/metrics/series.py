"""Makes blocks of what a collector yields, and checks it: nothing it says may spoil the page for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vllm_exporter.errors import SourceError
from vllm_exporter.metrics.family import Block, Family, Layout, Sample


class Arranger:
    """Of one collector. Layouts are kept while the series stay the same, and checked only when they are new."""

    def __init__(self, declared: Iterable[Family]) -> None:
        self._declared = frozenset(map(id, declared))
        self._checked: tuple[Layout, ...] = ()
        self._series: tuple[tuple[int, tuple[str, ...]], ...] = ()
        self._layout = Layout(())
        self._picked: tuple[int, ...] = ()

    def arrange(self, yielded: Iterable[Sample | Block]) -> tuple[Block, ...]:
        """The blocks, and one of all single samples. Of two samples of one series the first counts.

        Raises SourceError at a family that is not declared or in two blocks, and at a label value that is not text.
        """
        blocks: list[Block] = []
        samples: list[Sample] = []
        for one in yielded:
            if isinstance(one, Block):
                blocks.append(one)
            else:
                samples.append(one)
        if samples:
            blocks.append(self._block(samples))
        self._check(tuple(block.layout for block in blocks))
        return tuple(blocks)

    def _block(self, samples: list[Sample]) -> Block:
        series = tuple([(id(sample.family), sample.values) for sample in samples])
        if series != self._series:
            first = {key: at for at, key in reversed(list(enumerate(series)))}
            picked = tuple(sorted(first.values()))
            self._layout = _layout(samples[at] for at in picked)
            self._series, self._picked = series, picked
        return self._layout.block([_plain(samples[at].value) for at in self._picked])

    def _check(self, layouts: tuple[Layout, ...]) -> None:
        if layouts == self._checked:
            return
        seen: set[int] = set()
        for layout in layouts:
            families = {id(family.whole): family.whole for family, _ in layout.series}
            for key, family in families.items():
                if key not in self._declared:
                    raise SourceError(f"yields {family.name}, which its `metrics` do not declare")
                if key in seen:
                    raise SourceError(f"yields {family.name} in two blocks; its samples must stand together")
            seen |= families.keys()
        self._checked = layouts


def _layout(samples: Iterable[Sample]) -> Layout:
    try:
        return Layout((sample.family, sample.values) for sample in samples)
    except ValueError as error:
        raise SourceError(f"yields {error}") from None


def _plain(value: float) -> float:
    """Whole numbers as such: 3 is shorter than 3.0 and cheaper to print. NaN and the infinities stay."""
    return value if value % 1 else int(value)

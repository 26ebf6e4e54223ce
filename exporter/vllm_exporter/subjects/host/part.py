"""A part of what is known of the host: one file, or some of a kind, and the series that come from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.linux.kept_file import KeptFile
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Block, Layout, Series

Names = tuple[str, ...]  # what tells the series of one reading apart: devices, kinds, fields; () when they are fixed
Reading = tuple[Names, list[float]]


class Part(ABC):
    """Fails alone: a file that is not understood takes its own series away, is counted and said once in the log."""

    def __init__(self, file: str) -> None:
        self.file = file  # as it is called in labels and in the log
        self.there = False
        self.errors = 0
        self.series: tuple[Series, ...] = ()  # another object whenever they change
        self.numbers: Sequence[float] = ()  # one a series
        self._names: Names | None = None
        self._failing = False

    def refresh(self) -> None:
        """Reads it. Raises nothing that a file can be the cause of."""
        try:
            reading = self.read()
        except (SourceError, ValueError, LookupError) as error:
            self._fail(str(error))
            return
        self._failing = False
        self.there = reading is not None
        if reading is None:
            self._forget()
            return
        names, self.numbers = reading
        if names != self._names:
            self._names, self.series = names, tuple(self.name_series(names))

    @abstractmethod
    def read(self) -> Reading | None:
        """None when the kernel has no such thing. Raises SourceError, ValueError or LookupError."""

    @abstractmethod
    def name_series(self, names: Names) -> Sequence[Series]:
        """The series of the numbers that `read` gives with these names."""

    @abstractmethod
    def close(self) -> None: ...

    def _forget(self) -> None:
        self._names, self.series, self.numbers = None, (), ()

    def _fail(self, reason: str) -> None:
        self.errors += 1
        self.there = True
        self._forget()
        if not self._failing:
            log("error", "a file of the host cannot be used", file=self.file, reason=reason)
        self._failing = True


class FilePart(Part):
    """One file, by its path below a root."""

    def __init__(
        self,
        root: Path,
        file: str,
        parse: Callable[[bytes], Reading],
        name_series: Callable[[Names], Sequence[Series]],
    ) -> None:
        super().__init__(file)
        self._kept = KeptFile(root / file)
        self._parse = parse
        self._name_series = name_series

    def read(self) -> Reading | None:
        data = self._kept.read()
        if data is None:
            return None
        try:
            return self._parse(data)
        except (ValueError, LookupError):
            raise SourceError(f"not what the kernel documents: {data[:80]!r}") from None

    def name_series(self, names: Names) -> Sequence[Series]:
        return self._name_series(names)

    def close(self) -> None:
        self._kept.close()


class Section:
    """Parts that are read together, and the block that they make; it stands until they are read again."""

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts
        self.layout = Layout(())
        self.block: Block = self.layout.block([])
        self._series: list[tuple[Series, ...]] = []

    def refresh(self) -> None:
        numbers: list[float] = []
        for part in self.parts:
            part.refresh()
            numbers += part.numbers
        series = [part.series for part in self.parts]
        if series != self._series:
            self.layout, self._series = Layout(one for part in series for one in part), series
        self.block = self.layout.block(numbers)

"""Reads a part of the host, one file or some of a kind, so that it fails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.linux.files import read_bytes
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Row

Parse = Callable[[bytes], Iterable[Row]]
WRAPPED = 1 << 63  # what the kernel says is from here on is a negative number that it wrote as one without a sign


class GuardedReader:
    """Reads a file. If it cannot be used, only its own values are missing; it is counted, and logged once."""

    def __init__(self, file: str, read: Callable[[], Iterable[Row]]) -> None:
        """`file` is its name in labels and in the log. `read` raises NoData when the kernel does not have it, and
        SourceError, ValueError or LookupError when its content cannot be used."""
        self.file = file
        self.errors = 0
        self.there = False
        self._read = read
        self._failing = False

    def rows(self) -> list[Row]:
        """Returns the samples. Raises nothing that a file can cause."""
        try:
            found = [row for row in self._read() if 0 <= row[1] < WRAPPED]  # a count that wrapped is none
        except NoData:
            self.there = self._failing = False
            return []
        except SourceError as error:
            self._fail(str(error))
            return []
        except (ValueError, LookupError, ArithmeticError) as error:
            self._fail(f"not what the kernel documents: {error!r}")
            return []
        self.there, self._failing = True, False
        return found

    def _fail(self, reason: str) -> None:
        self.errors += 1
        self.there = True
        if not self._failing:
            log("error", "a file of the host cannot be used", file=self.file, reason=reason)
        self._failing = True


def file_part(root: Path, file: str, parse: Parse) -> GuardedReader:
    """Returns the reader of one file, by its path below a root."""

    path = f"{root}/{file}"

    def read() -> Iterable[Row]:
        data = read_bytes(path)
        if data is None:
            raise NoData(f"{path} does not exist")
        return parse(data)

    return GuardedReader(file, read)

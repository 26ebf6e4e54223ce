"""Reads the lines of a whole log once, from a file or from standard input, in bounded memory."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.logs.source import MAX_READ, LineCutter

STDIN = "-"
PEEK = 64  # bytes by which the form of a file is recognised
ZSTD = b"\x28\xb5\x2f\xfd"
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
Unpacked = io.BufferedReader | gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File
UNPACK: dict[bytes, Callable[[io.BufferedReader], Unpacked]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
}
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


class LogInput:
    """One log. `latest` is the Unix time of its last line, as far as the file says: lines of vLLM name no year.

    Raises SourceError when it cannot be opened, and while it is read only if nothing of it can be.
    """

    def __init__(self, name: str) -> None:
        self.name = "standard input" if name == STDIN else name
        self.latest = time.time()
        self.cut = 0  # lines that were longer than MAX_LINE
        self.problem = ""  # why it was not read to its end; '' when it was
        self._raw = self._open(name)

    def batches(self) -> Iterator[list[bytes]]:
        """Yields the lines, some hundred at once."""
        cutter = LineCutter()
        with self._raw:
            for chunk in self._chunks():
                yield cutter.feed(chunk)
        yield cutter.flush()
        self.cut = cutter.take_cut()

    def _open(self, name: str) -> io.BufferedReader:
        if name == STDIN:
            return cast(io.BufferedReader, sys.stdin.buffer)
        try:
            raw = Path(name).open("rb")  # noqa: SIM115 - closed at the end of `batches`
            self.latest = os.fstat(raw.fileno()).st_mtime
        except OSError as error:
            hint = "; name a file, or - for standard input" if isinstance(error, IsADirectoryError) else ""
            raise SourceError(f"{name}: {error.strerror}{hint}") from None
        return raw

    def _chunks(self) -> Iterator[bytes]:
        """Yields the text in UTF-8, or in whatever it is, unpacked."""
        read = 0
        try:
            head = self._raw.peek(PEEK)[:PEEK]
            stream = self._unpacked(head)
            decode = decoder(stream.peek(PEEK)[:PEEK])
            while chunk := stream.read1(MAX_READ):
                read += len(chunk)
                yield decode(chunk)
        except (OSError, *BROKEN) as error:
            self.problem = getattr(error, "strerror", None) or str(error)
            if not read:
                raise SourceError(f"{self.name}: {self.problem}") from None

    def _unpacked(self, head: bytes) -> Unpacked:
        """Returns the file, or what a compressed one holds. Raises SourceError for a form that Python does not have."""
        if head.startswith(ZSTD):
            raise SourceError(f"{self.name}: packed with zstd; run zstd -dc FILE | vllm-exporter log-report -")
        for mark, unpack in UNPACK.items():
            if head.startswith(mark):
                return unpack(self._raw)
        return self._raw


def decoder(head: bytes) -> Callable[[bytes], bytes]:
    """Returns what turns chunks of UTF-16, as PowerShell's `>` writes it, into UTF-8, and leaves anything else."""
    encoding = next((name for mark, name in BOMS if head.startswith(mark)), "")
    if not encoding and head[1::2].count(0) > 0.4 * len(head):
        encoding = "utf-16-le"
    if not encoding:
        return bytes
    codec = codecs.getincrementaldecoder(encoding)("replace")
    return lambda chunk: codec.decode(chunk).encode("utf-8", "replace")

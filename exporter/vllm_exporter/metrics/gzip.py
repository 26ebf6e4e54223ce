"""A part of a page that is compressed for itself, and once only. No I/O.

A scrape each second of 8 GPUs is 95 kB, of which half is older than the last scrape: to compress all of it takes as
long as everything else that a scrape needs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

# RFC 1952: deflate, no name, no time, compressed fast, by an unknown system.
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
LAST_BLOCK = b"\x03\x00"  # RFC 1951: an empty one, which ends the stream
LEVEL = 1  # 14 times faster than the usual 9 for 20 % more bytes
WINDOW_BITS = -13  # raw deflate over 8 KiB: a family's samples are close together, and a larger window is cold memory
MEMORY_LEVEL = 6


class Piece:
    """Some lines of a page."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._deflated: bytes | None = None

    @property
    def deflated(self) -> bytes:
        """Ends at a whole byte and refers to nothing before it, so that pieces in a row are one deflate stream."""
        if self._deflated is None:
            press = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL)
            self._deflated = press.compress(self.text) + press.flush(zlib.Z_SYNC_FLUSH)
        return self._deflated


def join(pieces: Iterable[Piece]) -> bytes:
    """The page as it is."""
    return b"".join([piece.text for piece in pieces])


def gzip(pieces: Sequence[Piece]) -> bytes:
    """The page as one gzip member."""
    check, size = 0, 0
    for piece in pieces:
        check, size = zlib.crc32(piece.text, check), size + len(piece.text)
    trailer = struct.pack("<II", check, size & 0xFFFFFFFF)
    return b"".join([GZIP_HEADER, *(piece.deflated for piece in pieces), LAST_BLOCK, trailer])

"""Compresses a page in pieces, each of them once. No I/O.

Most of a page is older than the last scrape, and compressing all of it again takes as long as the rest of a scrape.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # RFC 1952: deflate, no name, no time, fast, unknown system
END = b"\x03\x00"  # RFC 1951: an empty last block
LEVEL = 1  # 14 times faster than the usual 9 for 20 % more bytes


@dataclass(frozen=True)
class Piece:
    """Some lines of a page."""

    text: bytes

    @cached_property
    def deflated(self) -> bytes:
        """Returns deflated bytes that end at a whole byte and refer to nothing before them: pieces can be joined."""
        press = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        return press.compress(self.text) + press.flush(zlib.Z_SYNC_FLUSH)


def join(pieces: Sequence[Piece]) -> bytes:
    """Returns the page without compression."""
    return b"".join([piece.text for piece in pieces])


def gzip(pieces: Sequence[Piece]) -> bytes:
    """Returns the page as one gzip member."""
    check, size = 0, 0
    for piece in pieces:
        check, size = zlib.crc32(piece.text, check), size + len(piece.text)
    return b"".join([HEADER, *(piece.deflated for piece in pieces), END, struct.pack("<II", check, size & 0xFFFFFFFF)])

"""TLS for the HTTP client. ssl is imported at the first https target: it costs 4 MiB that few installations need."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def wrap(connection: socket.socket, host: str, ca_file: str) -> ssl.SSLSocket:
    """Makes the TLS handshake within the socket's timeout. Raises OSError, which includes ssl.SSLError."""
    try:
        context = _context(ca_file, os.stat(ca_file).st_mtime if ca_file else 0.0)
    except OSError as error:
        raise OSError(f"ca_file {ca_file} cannot be used: {error}") from None
    return context.wrap_socket(connection, server_hostname=host)


@lru_cache(maxsize=8)
def _context(ca_file: str, modified: float) -> ssl.SSLContext:
    """Returns one context per authority file and its time of change: a renewed file is read again. Takes 10 ms."""
    import ssl

    return ssl.create_default_context(cafile=ca_file or None)

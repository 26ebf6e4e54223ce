"""TLS of the healer's requests: one context per file of authorities, read again when the file changes."""

from __future__ import annotations

import os
import socket
import ssl
from functools import lru_cache

from requests.utils import DEFAULT_CA_BUNDLE_PATH


def wrap(connection: socket.socket, host: str, ca_file: str) -> ssl.SSLSocket:
    """Makes the handshake within the socket's timeout. Raises OSError, which includes ssl.SSLError."""
    authorities = ca_file or DEFAULT_CA_BUNDLE_PATH
    try:
        context = _context(authorities, os.stat(authorities).st_mtime)
    except OSError as error:
        raise OSError(f"ca_file {authorities} cannot be used: {error.strerror or error}") from None
    return context.wrap_socket(connection, server_hostname=host)


@lru_cache(maxsize=8)
def _context(authorities: str, modified: float) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities)

"""GET on loopback, past any proxy that the environment names."""

from __future__ import annotations

import http.client

from deploy.config.addresses import HOST

_TIMEOUT = 2.0  # seconds; a part on this machine that takes longer is not well


def get(port: int, path: str) -> tuple[int, str] | None:
    """Status and body, or None when nobody answered."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()

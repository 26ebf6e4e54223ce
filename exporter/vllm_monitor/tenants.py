"""Who asks: by a header that a gateway sets, or by a hash of the API key, which itself is never kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from vllm_monitor.names import safe

VARIABLE = "VLLM_MONITOR_TENANT_HEADER"
NONE = "none"  # who says nothing of himself
DIGITS = 8  # hexadecimal, of a key's hash: enough to tell keys apart, too few to find one


def tenant_header(environment: Mapping[str, str]) -> bytes:
    """Returns the name of the header that names the tenant, as ASGI has it; empty: the API key does."""
    return environment.get(VARIABLE, "").strip().lower().encode("latin-1", "replace")


def tenant_of(headers: Iterable[tuple[bytes, bytes]], header: bytes) -> str:
    """Returns the tenant of a request with these headers."""
    wanted = header or b"authorization"
    for name, value in headers:
        if name == wanted:
            return (safe(value.decode("latin-1").strip()) if header else tenant_of_key(value)) or NONE
    return NONE


def tenant_of_key(credentials: bytes) -> str:
    """Returns the name of an API key, given as `Authorization` has it or alone; empty for an empty one."""
    key = credentials.strip().rpartition(b" ")[2]
    return f"key-{sha256(key).hexdigest()[:DIGITS]}" if key else ""

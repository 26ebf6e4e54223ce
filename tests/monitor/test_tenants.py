"""Who asked: never the key itself."""

from __future__ import annotations

import pytest

from vllm_monitor.tenants import tenant_header, tenant_of

KEY = b"sk-0123456789abcdef"
BEARER = (b"authorization", b"Bearer " + KEY)
OWN = tenant_header({"VLLM_MONITOR_TENANT_HEADER": "X-Tenant"})


def test_a_key_is_named_by_a_short_hash() -> None:
    tenant = tenant_of([(b"host", b"x"), BEARER], b"")
    assert tenant == "key-221df437"  # printf %s KEY | sha256sum
    assert KEY.decode() not in tenant


def test_the_same_key_is_the_same_tenant_however_it_is_written() -> None:
    assert tenant_of([(b"authorization", b"bearer   " + KEY + b" ")], b"") == tenant_of([BEARER], b"")
    assert tenant_of([(b"authorization", b"Bearer other")], b"") != tenant_of([BEARER], b"")


def test_the_operators_header_comes_in_place_of_the_key() -> None:
    assert tenant_of([BEARER, (b"x-tenant", b" acme ")], OWN) == "acme"
    assert tenant_of([BEARER], OWN) == "none"


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"")], [(b"authorization", b"  ")]])
def test_who_shows_no_key_is_nobody(headers: list[tuple[bytes, bytes]]) -> None:
    assert tenant_of(headers, b"") == "none"


def test_a_strange_header_becomes_a_safe_name() -> None:
    assert tenant_of([(b"x-tenant", b'\xff"}\x00' + b"x" * 500)], OWN) == "____" + "x" * 60

from __future__ import annotations

import pytest

from vllm_healer.web.hosts import is_loopback, is_own_host


@pytest.mark.parametrize(
    "header",
    [
        "127.0.0.1:9856",
        "[::1]:9856",
        "192.168.1.7:9856",
        "localhost:9856",
        "LOCALHOST",
        "healer:9856",  # as a container is called
        "gpu1.example.org:9856",
        "GPU1.example.org.",
        "healing.example.org",
        "localhost.localdomain:9856",
        "healer.localhost",
        "host.docker.internal:9856",
        "host.containers.internal",
        "",  # HTTP/1.0, as of HAProxy's checks
    ],
)
def test_addresses_short_names_and_its_own_names_are_its_own(header: str) -> None:
    assert is_own_host(header, "healing.example.org:9856", "gpu1.example.org")


@pytest.mark.parametrize(
    "header",
    [
        "evil.example:9856",
        "gpu1.example.org.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "localhost.evil.example",
        "evilinternal.example",
    ],
)
def test_a_name_that_a_stranger_can_own_is_not(header: str) -> None:
    assert not is_own_host(header, "127.0.0.1:9856", "gpu1.example.org")


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:9856", True),
        ("[::1]:9856", True),
        ("localhost:9856", True),
        ("0.0.0.0:9856", False),
        ("[::]:9856", False),
        ("gpu1:9856", False),
        ("10.0.0.7:9856", False),
    ],
)
def test_only_this_machine_reaches_loopback(listen: str, loopback: bool) -> None:
    assert is_loopback(listen) is loopback

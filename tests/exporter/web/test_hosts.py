"""Over loopback only names that no web site can have are answered (DNS rebinding)."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from tests.exporter.web.test_server import WAIT, answer
from vllm_exporter.clock import SystemClock
from vllm_exporter.web.hosts import OwnHosts, is_loopback
from vllm_exporter.web.server import ClientLimits, Server

HOSTS = OwnHosts("GPU1.rack4.example.com", ["metrics.example.org"])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "localhost:9855",
        "LOCALHOST",
        "127.0.0.1:9855",
        "10.1.2.3",
        "[::1]:9855",
        "[fe80::1]",
        "exporter:9855",
        "host.docker.internal:9855",
        "exporter.monitoring.svc.cluster.local:9855",
        "exporter.monitoring.svc",
        "gpu1",
        "gpu1.rack4.example.com:9855",
        "gpu1.rack4.example.com.",
        "metrics.example.org",
    ],
)
def test_names_that_are_this_hosts_or_that_no_web_site_can_have_are_its_own(header: str | None) -> None:
    assert HOSTS.is_own(header)


@pytest.mark.parametrize(
    "header",
    [
        "evil.example",
        "evil.example:9855",
        "gpu1.evil.example",
        "gpu1.rack4.example.com.evil.example",
        "gpu10.example.com",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "1.2.3.4x.com",
    ],
)
def test_names_that_others_may_own_are_not(header: str) -> None:
    assert not HOSTS.is_own(header)


def test_a_host_without_a_name_has_no_names_that_begin_like_it() -> None:
    assert not OwnHosts("").is_own(".evil.example")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("fe80::1", False),
    ],
)
def test_loopback_is_told_from_addresses_that_others_reach(address: str, loopback: bool) -> None:
    assert is_loopback(address) == loopback


def test_a_page_under_a_name_of_its_own_is_told_so_and_gets_nothing() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server([listener], answer, SystemClock(), ClientLimits(), HOSTS)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    said = {}
    for name in ("evil.example", "localhost"):
        client = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=WAIT)
        client.request("GET", "/metrics", headers={"Host": name})
        reply = client.getresponse()
        said[name] = reply.status, reply.read()
        client.close()
    server.stop()
    thread.join(WAIT)
    assert said["localhost"] == (200, b"GET /metrics\n")
    assert said["evil.example"] == (
        421,
        b"this host is not called 'evil.example'; if it is, add it to hosts in exporter.yml\n",
    )

"""Connections that nobody accepts, as the kernel counts them."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from vllm_exporter.linux.accept_queue import parse_queues, unaccepted


@pytest.mark.real
@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_counts_those_that_wait_also_after_their_clients_have_gone(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as server, ExitStack() as clients:
        server.bind((address, 0))
        server.listen(16)
        port = server.getsockname()[1]
        assert unaccepted(port) == 0
        for _ in range(3):
            clients.enter_context(socket.create_connection((address, port)))
        assert unaccepted(port) == 3
        clients.close()
        assert unaccepted(port) == 3
        server.accept()[0].close()
        assert unaccepted(port) == 2


@pytest.mark.real
def test_a_queue_that_is_full_or_that_nobody_has_shows_nothing() -> None:
    with socket.socket() as server, ExitStack() as clients:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        for _ in range(2):
            clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert unaccepted(port) is None
    assert unaccepted(port) is None


def test_an_answer_that_is_cut_short_has_none() -> None:
    assert parse_queues(b"", 8000) == []
    assert parse_queues(bytes(64), 8000) == []
    assert parse_queues(b"\x20\0\0\0\x14\0" + bytes(26), 0) == []

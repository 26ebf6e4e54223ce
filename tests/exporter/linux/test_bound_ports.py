"""A bound socket that does not listen, as the kernel tells of it."""

from __future__ import annotations

import os
import socket

import pytest

from vllm_exporter.linux.bound_ports import is_bound, parse_answer


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


@pytest.mark.real
@pytest.mark.skipif(kernel() < (6, 8), reason="Linux lists such sockets from 6.8 on")
@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")])
def test_finds_a_socket_that_is_bound_and_silent(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.bind((address, 0))
        port = bound.getsockname()[1]
        assert is_bound(port) is True
        bound.listen()
        assert is_bound(port) is False
    assert is_bound(port) is False


def test_an_error_is_no_answer() -> None:
    error = b"\x24\0\0\0" + b"\x02\0" + b"\0\0" + b"\1\0\0\0" + b"\0\0\0\0" + b"\xfe\xff\xff\xff" + bytes(16)
    assert parse_answer(error, 8000) is None


def test_nothing_is_no() -> None:
    assert parse_answer(b"", 8000) is False
    assert parse_answer(bytes(64), 8000) is False  # lengths of 0 must not loop for ever

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from deploy.errors import PortInUse
from deploy.native.listeners import Listener, check_ports, is_free, parse_listeners

# A listening socket on 127.0.0.1:9090 of uid 1000 and an established connection, as the kernel prints them.
PROC_NET_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 40123 1
   1: 0100007F:2382 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 40999 1
"""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_finds_the_listening_socket_only() -> None:
    assert parse_listeners(PROC_NET_TCP) == (Listener(port=9090, uid=1000, inode=40123),)


def test_a_port_in_use_is_named_with_its_owner(taken: int) -> None:
    me = psutil.Process()
    with pytest.raises(PortInUse) as raised:
        check_ports({"exporter": 1, "prometheus": taken}, ours=[])
    assert str(raised.value) == (
        f"port {taken} is in use by {me.name()} (pid {os.getpid()}, user {me.username()}): "
        "stop it or set PROMETHEUS_PORT in .env"
    )


def test_a_port_on_all_addresses_is_in_use_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(PortInUse):
        check_ports({"prometheus": server.getsockname()[1]}, ours=[])


def test_our_own_part_may_hold_its_port(taken: int) -> None:
    check_ports({"prometheus": taken}, ours=[os.getpid()])


def test_a_port_that_was_just_given_up_is_free(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = server.accept()
        connection.close()  # the server's side ends first and waits in TIME_WAIT
        client.close()
    assert is_free(port)
    assert not is_free(taken)

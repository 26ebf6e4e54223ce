from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from deploy.errors import PortInUse
from deploy.native.ports import check_ports, is_free, owner


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_named_with_its_owner(taken: int) -> None:
    me = psutil.Process()
    with pytest.raises(PortInUse) as raised:
        check_ports({"exporter": 1, "prometheus": taken}, ours=[])
    assert str(raised.value) == (
        f"port {taken} is in use by {me.name()} (pid {os.getpid()}, user {me.username()}): "
        "stop that process, or set PROMETHEUS_PORT in .env"
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


def test_a_process_that_may_not_be_seen_is_found_by_the_command_that_is_told(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users' sockets have no pid, unless root asks."""
    unseen = [one._replace(pid=None) for one in psutil.net_connections(kind="tcp")]
    monkeypatch.setattr(psutil, "net_connections", lambda kind: unseen)
    assert owner(taken) == f"a process of another user (`sudo ss -ltnp 'sport = :{taken}'` names it)"
    with pytest.raises(PortInUse):
        check_ports({"prometheus": taken}, ours=[os.getpid()])


def test_a_client_of_a_port_does_not_own_it(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert f"pid {os.getpid()}" not in owner(client.getsockname()[1])

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from deploy.errors import PortInUse
from deploy.native.ports import check_ports, is_free, is_trusted, listening_users, owner, parse_listening


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


def test_ones_own_listener_may_be_told_a_secret(taken: int) -> None:
    assert listening_users(taken) == {os.geteuid()}
    assert is_trusted(taken)


def test_a_listener_on_all_addresses_counts_as_one_on_loopback() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as server:
        assert listening_users(server.getsockname()[1]) == {os.geteuid()}


def test_where_nobody_listens_nobody_may_be_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not is_trusted(port)


def test_another_users_listener_is_told_nothing(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.native.ports.listening_users", lambda port: {os.geteuid(), 65534})
    assert not is_trusted(taken)


def test_only_sockets_that_listen_on_the_port_count() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    rows = [
        "   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 1 1 0 100 0 0 10 0",
        "   1: 0100007F:2384 0100007F:8000 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 30 1 -1",
        "   2: 0100007F:2385 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 100 0 0 10 0",
        "   3: 00000000",
    ]
    assert parse_listening(head + "\n".join(rows), 9092) == {65534}
    assert parse_listening("", 9092) == set()

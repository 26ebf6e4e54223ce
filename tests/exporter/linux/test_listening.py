"""Ports a process listens on, and what this host is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.exporter.fake_proc import FakeProc
from vllm_exporter.linux.listening import is_this_host, parse_table, read_addresses, read_ports, same_network


def test_reads_listening_sockets_only() -> None:
    table = (
        b"  sl  local_address rem_address st\n"
        b"   0: 00000000:1F40 00000000:0000 0A 0:0 00:0 0 0 0 5555 1 0\n"
        b"   1: 0100007F:1F41 0100007F:8CA0 01 0:0 00:0 0 0 0 5556 1 0\n"
        b"   2: 00000000000000000000000001000000:2382 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 5557 1 0\n"
        b"   3: short\n"
        b"   4: 00000000:1F44 00000000:0000 0A 0:0 00:0 0 0 0 none 1 0\n"
    )
    assert parse_table(table) == {5555: 8000, 5557: 9090}
    assert parse_table(b"") == {}


def test_finds_the_port_of_a_process_by_its_socket(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path / "proc")
    proc.process(200, 1, "vllm serve m")
    proc.listen(200, 8000, 5555)
    assert read_ports(proc.root, 200) == frozenset({8000})


def test_sockets_of_somebody_else_cannot_be_seen(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path / "proc")
    proc.process(200, 1, "vllm serve m")
    assert read_ports(proc.root, 200) is None


def test_finds_all_real_ports_of_this_process_although_their_table_takes_many_reads() -> None:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(100)]
    ports = read_ports(Path("/proc"), os.getpid())
    expected = {server.getsockname()[1] for server in servers}
    for server in servers:
        server.close()
    assert ports is not None
    assert ports >= expected
    assert same_network(Path("/proc"), os.getpid())


def test_a_container_with_its_own_network_has_other_ports(tmp_path: Path) -> None:
    for pid, name in (("self", "net:[1]"), ("200", "net:[2]"), ("300", "net:[1]")):
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "ns/net").symlink_to(name)
    assert not same_network(tmp_path, 200)
    assert same_network(tmp_path, 300)
    assert same_network(tmp_path, 400)  # cannot be read


def test_who_may_not_read_whose_network_it_is_compares_the_addresses_in_it(tmp_path: Path) -> None:
    for pid, address in (("self", "192.0.2.1"), ("200", "172.17.0.2"), ("300", "192.0.2.1")):
        (tmp_path / pid / "net").mkdir(parents=True)
        (tmp_path / pid / "net/fib_trie").write_text(f"Local:\n  |-- {address}\n     /32 host LOCAL\n")
    assert not same_network(tmp_path, 200)
    assert same_network(tmp_path, 300)


def test_knows_the_addresses_of_a_containers_network(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path / "proc")
    proc.process(200, 1, "vllm serve m")
    assert read_addresses(proc.root, 200) == frozenset()
    proc.container(200, "4f2a" * 16, "172.17.0.2")
    assert read_addresses(proc.root, 200) == frozenset({"172.17.0.2"})


def test_this_host_is_known_by_loopback_its_name_and_its_addresses() -> None:
    for host in ("localhost", "127.0.0.1", "127.3.2.1", "gpu1", "GPU1", "gpu1.example.org"):
        assert is_this_host(host, "gpu1.example.org"), host
    for host in ("gpu2", "192.0.2.7", "gpu1.example.com", "2001:db8::1"):
        assert not is_this_host(host, "gpu1.example.org"), host

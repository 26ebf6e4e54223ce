"""Who listens on a port of this host, and that nothing is sent to a stranger who took it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vllm_healer.actuators.listeners import (
    Listener,
    find_stranger,
    holds,
    is_here,
    listening,
    parse_listener,
    port_uids,
)
from vllm_healer.actuators.processes import Process, Snapshot
from vllm_healer.actuators.supervisor_rpc import Supervisor
from vllm_healer.actuators.supervisor_view import Place
from vllm_healer.actuators.supervisord import Supervisord, choose_place
from vllm_healer.actuators.unreachable import Unmanaged
from vllm_healer.errors import Blind
from vllm_healer.model import ProcessRef, Target

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LOOPBACK = "   0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  {uid}        0 1 1\n"
EVERYWHERE = (
    "   1: 00000000000000000000000000000000:{port:04X} 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000  {uid}        0 1 1\n"
)
ELSEWHERE = "   2: 0500000A:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  {uid}        0 1 1\n"


@pytest.fixture
def connected() -> Iterator[socket.socket]:
    """A connection to a listener of ours on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        yield client


def proc(folder: Path, tcp: str = "", tcp6: str = "") -> Path:
    (folder / "net").mkdir(exist_ok=True)
    (folder / "net/tcp").write_text(HEAD + tcp)
    (folder / "net/tcp6").write_text(HEAD + tcp6)
    return folder


def listening_uids(connected: socket.socket, folder: Path) -> set[int]:
    return {found.uid for found in listening(connected, folder)}


def test_a_connection_to_an_address_of_our_own_is_here(connected: socket.socket) -> None:
    assert is_here(connected)
    assert listening_uids(connected, Path("/proc")) == {os.geteuid()}


def test_who_listens_on_the_address_or_on_all_counts_and_on_another_address_not(
    connected: socket.socket, tmp_path: Path
) -> None:
    port = connected.getpeername()[1]
    lines = LOOPBACK.format(port=port, uid=998) + ELSEWHERE.format(port=port, uid=1000)
    folder = proc(tmp_path, lines, EVERYWHERE.format(port=port, uid=65534))
    assert listening_uids(connected, folder) == {998, 65534}
    assert port_uids(port, folder) == {998, 65534, 1000}
    assert port_uids(port + 1, folder) == frozenset()


def test_a_connection_or_a_header_is_no_listener() -> None:
    established = LOOPBACK.format(port=9001, uid=0).replace(" 0A ", " 01 ")
    assert parse_listener(established, 9001) is None
    assert parse_listener(HEAD, 9001) is None


def test_without_the_files_nobody_is_known(connected: socket.socket, tmp_path: Path) -> None:
    assert listening_uids(connected, tmp_path) == set()


def rpc(server: Any, trusted: frozenset[int], folder: Path, **options: str) -> Supervisor:
    target = Target("gpu1:8000", "", "pool", "supervisord", {"url": server.url, "program": "vllm", **options})
    return Supervisor(target, 5.0, trusted, folder)


def test_nothing_not_even_the_password_is_sent_to_a_stranger_who_took_the_port(server: Any, tmp_path: Path) -> None:
    """Whoever takes the port of a supervisord that is down would be told its password."""
    port = int(server.url.rpartition(":")[2])
    folder = proc(tmp_path, LOOPBACK.format(port=port, uid=65534))
    (tmp_path / "password").write_text("swordfish")
    stranger = rpc(server, frozenset({0, 998}), folder, username="healer", password_file=str(tmp_path / "password"))
    with pytest.raises(Unmanaged, match=r"taken by user 65534.*unix socket"):
        stranger.info()
    assert server.requests == []


def test_root_the_healer_and_the_server_s_user_may_listen(server: Any, http: ModuleType, tmp_path: Path) -> None:
    server.say("/RPC2", http.Reply(500))
    port = int(server.url.rpartition(":")[2])
    asked = rpc(server, frozenset({0, 998}), proc(tmp_path, LOOPBACK.format(port=port, uid=998)))
    with pytest.raises(Exception, match="answered HTTP 500"):
        asked.info()
    assert asked.here
    assert asked.uids == {998}


def test_the_pids_of_another_user_s_supervisord_are_not_believed(server: Any, tmp_path: Path) -> None:
    """One who may listen names a supervisord of somebody else, to have its children ended."""
    supervisor = rpc(server, frozenset(), tmp_path)
    supervisor.listeners = (Listener(b"", 998, "9"),)
    (tmp_path / "7").mkdir()  # it belongs to the user of this test
    assert choose_place(supervisor, 7, tmp_path) is Place.UNPROVEN
    supervisor.listeners = (Listener(b"", os.geteuid(), "9"),)
    assert choose_place(supervisor, 7, tmp_path) is Place.PORT
    supervisor.listeners = (Listener(b"", 0, "9"),)
    assert choose_place(supervisor, 7, tmp_path) is Place.PORT
    supervisor.here = False
    assert choose_place(supervisor, 7, tmp_path) is Place.ELSEWHERE


def test_a_supervisord_that_holds_its_port_itself_is_on_this_host_whatever_the_clock_says(
    server: Any, http: ModuleType, tmp_path: Path
) -> None:
    """Its start is a wall time: after a step of the clock its child seems to be of another age."""
    port = int(server.url.rpartition(":")[2])
    folder = proc(tmp_path, LOOPBACK.format(port=port, uid=1000), EVERYWHERE.format(port=port, uid=1000))
    supervisor = rpc(server, frozenset({1000}), folder)
    server.say("/RPC2", http.Reply(500))
    with pytest.raises(Blind, match="answered HTTP 500"):
        supervisor.pid()
    (folder / "7/fd").mkdir(parents=True)
    assert choose_place(supervisor, 7, folder) is not Place.SOCKET
    (folder / "7/fd/4").symlink_to("socket:[1]")
    assert choose_place(supervisor, 7, folder) is Place.SOCKET
    assert choose_place(supervisor, 8, folder) is not Place.SOCKET


def test_who_holds_one_of_two_sockets_may_not_be_the_one_that_answers(connected: socket.socket, tmp_path: Path) -> None:
    port = connected.getpeername()[1]
    other = EVERYWHERE.format(port=port, uid=0).replace("0 1 1", "0 2 1")
    folder = proc(tmp_path, LOOPBACK.format(port=port, uid=0), other)
    (folder / "7/fd").mkdir(parents=True)
    (folder / "7/fd/4").symlink_to("socket:[1]")
    assert not holds(7, listening(connected, folder), folder)
    (folder / "7/fd/5").symlink_to("socket:[2]")
    assert holds(7, listening(connected, folder), folder)
    assert not holds(7, (), folder)


def test_the_server_s_user_is_the_one_on_record_and_before_that_who_listens_on_its_port(tmp_path: Path) -> None:
    folder = proc(tmp_path, LOOPBACK.format(port=8000, uid=1000))
    target = Target("gpu1:8000", "http://127.0.0.1:8000", "pool", "supervisord", {"url": "http://127.0.0.1:1"})
    trees: dict[str, tuple[ProcessRef, ...]] = {}
    actuator = Supervisord(lambda server: trees, folder)
    assert actuator._trusted(target) == {0, os.geteuid(), 1000}
    trees["boot-a/1/1"] = (ProcessRef(1, 1, "api_server", "vllm serve", 998), ProcessRef(2, 2, "helper", "ninja", 7))
    assert actuator._trusted(target) == {0, os.geteuid(), 998}


SUPERVISED = Process(10, 5, 100, "S", "vllm", ("vllm", "serve", "m"))
BY_HAND = Process(20, 1, 200, "S", "vllm", ("python3", "-m", "vllm.entrypoints.openai.api_server"))
PROXY = Process(30, 1, 300, "S", "haproxy", ("haproxy", "-f", "x.cfg"))
SHELF = Snapshot("boot-a", 5000.0, {10: SUPERVISED, 20: BY_HAND, 30: PROXY})


def holding(folder: Path, port: int, **holders: int) -> Path:
    """/proc with a listener on the port for each of `holders`, inode by pid: p10=1."""
    row = LOOPBACK.format(port=port, uid=0).rpartition(" 1 1")[0]
    proc(folder, "".join(f"{row} {inode} 1\n" for inode in holders.values()))
    for pid, inode in holders.items():
        (folder / pid[1:] / "fd").mkdir(parents=True)
        (folder / pid[1:] / "fd" / "7").symlink_to(f"socket:[{inode}]")
        (folder / pid[1:] / "fd" / "1").symlink_to("/dev/null")
    return folder


def stranger(
    folder: Path, url: str = "http://127.0.0.1:8000", known: frozenset[int] = frozenset({10})
) -> Process | None:
    return find_stranger(Target("gpu1:8000", url, "pool", "supervisord"), SHELF, known, folder)


def test_a_vllm_that_somebody_else_started_on_the_port_is_found(tmp_path: Path) -> None:
    assert stranger(holding(tmp_path, 8000, p20=77)) == BY_HAND


def test_the_supervised_server_on_its_own_port_is_no_stranger(tmp_path: Path) -> None:
    assert stranger(holding(tmp_path, 8000, p10=77)) is None


def test_of_two_that_share_the_port_the_other_is_the_stranger(tmp_path: Path) -> None:
    """vLLM listens with SO_REUSEPORT, so that the kernel lets both."""
    assert stranger(holding(tmp_path, 8000, p10=77, p20=78)) == BY_HAND


def test_a_proxy_before_the_server_is_none(tmp_path: Path) -> None:
    assert stranger(holding(tmp_path, 8000, p30=77)) is None


def test_nobody_is_sought_on_another_port_host_or_where_the_sockets_cannot_be_seen(tmp_path: Path) -> None:
    folder = holding(tmp_path, 8000, p20=77)
    assert stranger(folder, "http://127.0.0.1:8001") is None
    assert stranger(folder, "http://gpu9.example:8000") is None
    (folder / "20" / "fd" / "7").unlink()
    assert stranger(folder) is None

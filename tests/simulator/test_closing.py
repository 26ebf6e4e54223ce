"""A server that ends in the same moment in which a client comes."""

from __future__ import annotations

import asyncio
import socket

from deploy.simulator.failures.state import MemoryState
from deploy.simulator.links import LocalLink
from deploy.simulator.loglines import Log
from deploy.simulator.options import ServerOptions
from deploy.simulator.server.simserver import SimServer
from tests.ports import free_port

AT_ONCE = 5.0  # seconds; it takes a thousandth of one


def test_who_comes_while_it_ends_is_cut_off_and_not_kept_waiting() -> None:
    assert asyncio.run(come_at_the_end()) == b""


async def come_at_the_end() -> bytes:
    """What the client gets. In one round of the loop the connection is accepted and the end is set for the next."""
    loop = asyncio.get_running_loop()
    server, bound = a_server()
    await server.listen(bound)
    with socket.create_connection(bound.getsockname()) as client:
        client.setblocking(False)
        await asyncio.sleep(0)
        loop.call_soon(server.close, 0)
        async with asyncio.timeout(AT_ONCE):
            return await loop.sock_recv(client, 1)


def a_server() -> tuple[SimServer, socket.socket]:
    options = ServerOptions(port=free_port())
    link = LocalLink(options.engine, options.clock)
    server = SimServer(options, link, MemoryState(), Log("APIServer", quiet=True), processes=False)
    bound = socket.socket()
    bound.bind((options.host, options.port))
    return server, bound

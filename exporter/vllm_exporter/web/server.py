"""A small HTTP server: one thread, plain sockets, many connections.

It waits for no client: each connection has a deadline, and their number is limited. When all are in use, a new client
replaces the one that has been waited for longest.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vllm_exporter.clock import Clock
from vllm_exporter.config.addresses import parse_listen
from vllm_exporter.errors import ListenError
from vllm_exporter.facts.values import shown
from vllm_exporter.web.hosts import OwnHosts, host_of, is_loopback
from vllm_exporter.web.http1 import BadRequest, Request, Response, encode, parse_request

Handler = Callable[[Request], Response]

CHUNK = 65536  # bytes read at once; no request is longer


@dataclass(frozen=True)
class ClientLimits:
    """The limits for clients, in seconds unless noted."""

    connections: int = 64  # a scraper or two, a few browsers and curls; each costs two KiB
    request: float = 5.0  # for a whole request to arrive
    idle: float = 120.0  # between two requests: twice the longest usual scrape interval
    reply: float = 10.0  # for the client to take a whole reply


class Connection:
    """One client: the bytes it sent so far, those it must still take, and its deadline."""

    def __init__(self, sock: socket.socket, now: float, seconds: float) -> None:
        self.sock = sock
        self.received = b""
        self.outgoing = memoryview(b"")
        self.closing = False  # after the reply
        self.waits_for = selectors.EVENT_READ
        self.local = is_loopback(sock.getsockname()[0])
        self.allow(now, seconds)

    def allow(self, now: float, seconds: float) -> None:
        """Gives the client so many seconds from now for its next step."""
        self.since, self.deadline = now, now + seconds


class Server:
    """Serves `handler` on the listening sockets until `stop`."""

    def __init__(
        self,
        listeners: Iterable[socket.socket],
        handler: Handler,
        clock: Clock,
        limits: ClientLimits,
        hosts: OwnHosts | None = None,
    ) -> None:
        """`hosts` are asked about requests that come over loopback; without them all are answered."""
        self._hosts = hosts
        self._handler = handler
        self._clock = clock
        self._limits = limits
        self._listeners = tuple(listeners)
        self._connections: set[Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        for listener in self._listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, listener)

    def serve(self) -> None:
        """Serves until `stop`, then closes all sockets."""
        try:
            while self._turn():
                self._drop_overdue(self._clock.monotonic())
        finally:
            self._close_all()

    def stop(self) -> None:
        """Ends `serve` at once. May be called from any thread and from a signal handler, more than once."""
        try:
            self._wake_in.send(b"\0")
        except OSError:
            return  # stopped already

    def _turn(self) -> bool:
        """Waits for events of sockets and handles them. Returns False after `stop`."""
        for key, _ in self._selector.select(self._wait_seconds()):
            if key.fileobj is self._wake_out:
                return False
            if isinstance(key.data, Connection):
                self._progress(key.data)
            else:
                self._accept(key.data)
        return True

    def _wait_seconds(self) -> float | None:
        if not self._connections:
            return None
        return max(0.0, min(one.deadline for one in self._connections) - self._clock.monotonic())

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # the client has gone again
        except OSError:  # no file descriptors or memory left
            self._drop_oldest()
            time.sleep(0.05)  # the listener stays readable: without a pause this would take a whole CPU
            return
        if len(self._connections) >= self._limits.connections:
            self._drop_oldest()
        sock.setblocking(False)
        connection = Connection(sock, self._clock.monotonic(), self._limits.request)
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _progress(self, connection: Connection) -> None:
        if connection not in self._connections:
            return  # dropped in this very turn
        try:
            alive = self._send(connection) if connection.outgoing else self._receive(connection)
        except BlockingIOError:
            return
        except OSError:
            alive = False  # reset by the client, or the network is gone
        if not alive:
            self._drop(connection)

    def _receive(self, connection: Connection) -> bool:
        data = connection.sock.recv(CHUNK)
        if not data:
            return False
        if not connection.received:  # the first bytes of a request; trickling more does not buy more time
            connection.allow(self._clock.monotonic(), self._limits.request)
        connection.received += data
        return self._answer(connection)

    def _answer(self, connection: Connection) -> bool:
        """Answers the first request received, if it is complete. Returns False when the connection can be closed."""
        try:
            parsed = parse_request(connection.received)
        except BadRequest as error:
            refusal = Response(error.status, f"{error}\n".encode())
            return self._reply(connection, encode(refusal, keep_alive=False), closing=True)
        if parsed is None:
            return True
        request, connection.received = parsed
        if connection.local and self._hosts is not None and not self._hosts.is_own(request.headers.get("host")):
            return self._reply(connection, encode(misdirected(request), keep_alive=False), closing=True)
        response, head_only = self._handler(request), request.method == "HEAD"
        data = encode(response, head_only=head_only, keep_alive=request.keep_alive)
        return self._reply(connection, data, closing=not request.keep_alive)

    def _reply(self, connection: Connection, data: bytes, *, closing: bool) -> bool:
        """Sends at once, unless the client sent more requests: many in a row must not keep others waiting."""
        connection.outgoing, connection.closing = memoryview(data), closing
        connection.allow(self._clock.monotonic(), self._limits.reply)
        if not connection.received:
            try:
                return self._send(connection)
            except BlockingIOError:
                pass
        self._wait_for(connection, selectors.EVENT_WRITE)
        return True

    def _send(self, connection: Connection) -> bool:
        connection.outgoing = connection.outgoing[connection.sock.send(connection.outgoing) :]
        if connection.outgoing:
            self._wait_for(connection, selectors.EVENT_WRITE)
            return True
        if connection.closing:
            return False
        seconds = self._limits.request if connection.received else self._limits.idle
        connection.allow(self._clock.monotonic(), seconds)
        self._wait_for(connection, selectors.EVENT_READ)
        return self._answer(connection)  # a client may have sent its next request already

    def _wait_for(self, connection: Connection, event: int) -> None:
        if event != connection.waits_for:
            connection.waits_for = event
            self._selector.modify(connection.sock, event, connection)

    def _drop_overdue(self, now: float) -> None:
        for connection in [one for one in self._connections if one.deadline <= now]:
            self._drop(connection)

    def _drop_oldest(self) -> None:
        if self._connections:
            self._drop(min(self._connections, key=lambda one: one.since))

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()

    def _close_all(self) -> None:
        for connection in tuple(self._connections):
            self._drop(connection)
        self._selector.close()
        for sock in (*self._listeners, self._wake_in, self._wake_out):
            sock.close()


def misdirected(request: Request) -> Response:
    """Returns the answer to a request that a web page sent here under a name of its own."""
    name = shown(host_of(request.headers.get("host", "")))
    return Response(421, f"this host is not called {name!r}; if it is, add it to hosts in exporter.yml\n".encode())


def listen(text: str) -> tuple[socket.socket, ...]:
    """Returns a listening socket for each address of the text. Raises ListenError when one cannot be made."""
    sockets: list[socket.socket] = []
    for host, port in parse_listen(text):
        try:
            sockets.append(_listener(host, port))
        except OSError as error:
            for sock in sockets:
                sock.close()
            raise ListenError(f"cannot listen on {host}:{port}: {_fix(error, port)}") from error
    return tuple(sockets)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def _fix(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the port is in use; stop its user (see ss -ltnp 'sport = :{port}') or choose another with --listen"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this host has no such address; choose another with --listen"
    if error.errno == errno.EACCES:
        return "not permitted; choose a port above 1023 with --listen"
    return f"{error.strerror or error}; choose another address with --listen"
